import { globSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import { examineFiles } from '../../../services/doctor/examine.ts'
import { CANARY, alarms, examine } from './world.ts'

const root = join(import.meta.dirname, '../../fixtures/task-definitions')
const expected: Record<string, string[]> = JSON.parse(readFileSync(join(root, 'expected.json'), 'utf8'))
const good = globSync('good/*', { cwd: root })
const bad = globSync('bad/*', { cwd: root })
const inspect = async (file: string) => await examineFiles({ taskDefinitions: [join(root, file)], parameters: [], services: [], container: null, templateParameters: {} })

t.test('R11.2 every misconfiguration of the fixtures is found, each with its codes and no other', async t => {
  t.ok(bad.length >= 40, `${bad.length} bad ones`)
  t.strictSame(bad.map((file) => basename(file, '.json')).sort(), Object.keys(expected).sort(), 'each has its codes')
  for (const file of bad) {
    const findings = await inspect(file)
    t.strictSame(alarms(findings), [...new Set(expected[basename(file, '.json')])].sort(), file)
    t.notMatch(JSON.stringify(findings), CANARY, `${file}: no secret is shown`)
    for (const { line, docs, corrected, explanation } of findings) {
      t.ok(line !== null && line >= 1 && docs.startsWith('docs/') && corrected !== '' && explanation !== '', `${file}: complete`)
    }
  }
})

t.test('R11.2 nothing is found in the good ones', async t => {
  t.ok(good.length >= 20, `${good.length} good ones`)
  for (const file of good) t.strictSame(alarms(await inspect(file)), [], file)
  const texts = new Set([...good, ...bad].map((file) => readFileSync(join(root, file), 'utf8')))
  t.equal(texts.size, good.length + bad.length, 'no two are the same')
})

t.test('R11.2 the remedy for a bad URL is a good URL', async t => {
  const findings = (await Promise.all(bad.map(inspect))).flat().filter(({ code }) => /REDIS_BARE$|URL_CREDENTIALS$|ELASTICACHE_TLS$/.test(code))
  const urls = findings.flatMap(({ corrected }) => /rediss?:\/\/[\w.-]+:\d+(?:\/\d+)?/.exec(corrected) ?? []).filter((url) => !url.includes('HOST'))
  t.ok(urls.length >= 4, `${urls.length} URLs`)
  for (const url of urls) {
    const text = readFileSync(join(root, 'good/fargate-plain.json'), 'utf8').replace(/rediss:[^"]*/, url)
    t.strictSame(alarms(await examine(t, { task: text })), [], url)
  }
})

t.test('R11.2 the line of a finding is the line of its value', async t => {
  const text = readFileSync(join(root, 'bad/redis-url-bare-host.json'), 'utf8')
  const [finding] = await inspect('bad/redis-url-bare-host.json')
  const [bare] = (await inspect('bad/redis-url-bare-host.json')).filter(({ code }) => code === 'FST_BRK_ECS_REDIS_BARE')
  t.match(text.split('\n')[bare!.line! - 1], /"value": "events\.ab12cd/)
  t.equal(finding!.container, 'breakwater')
  t.equal(bare!.path, 'taskDefinition.containerDefinitions[0].environment[0].value')
})

t.test('R11.2 whatever a file contains, the doctor answers, and shows no secret', async t => {
  const originals = await Promise.all([...good, ...bad].map(async (file) => JSON.parse(readFileSync(join(root, file), 'utf8'))))
  const oddities = fc.oneof(fc.constant(null), fc.constant([]), fc.constant({}), fc.constant(''), fc.constant(0), fc.constant({ Ref: 'Unknown' }), fc.constant({ 'Fn::If': 1 }), fc.constant({ 'Fn::Sub': [] }), fc.jsonValue())
  await fc.assert(fc.asyncProperty(fc.constantFrom(...originals), fc.nat(), oddities, async (original, place, oddity) => {
    const changed = JSON.stringify(replaceNth(structuredClone(original), place, oddity))
    const findings = await examine(t, { task: changed })
    return !JSON.stringify(findings).includes(CANARY)
  }), { seed: 20261121, numRuns: 400 })
  t.pass()
})

/** Replaces the value at one place of a tree, counted from its root. */
function replaceNth (tree: unknown, place: number, value: unknown): unknown {
  const places: [Record<string, unknown>, string][] = []
  const walk = (node: unknown) => {
    if (typeof node !== 'object' || node === null) return
    for (const key of Object.keys(node)) {
      places.push([node as Record<string, unknown>, key])
      walk((node as Record<string, unknown>)[key])
    }
  }
  walk(tree)
  const [parent, key] = places[place % places.length]!
  parent[key] = value
  return tree
}
