import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { variableNames, about } from '../../services/config/schema.ts'
import { docker, inspect } from './docker.ts'
import type { Report } from './report.ts'
import { sourcesOfImage } from './sources.ts'
import type { World } from './world.ts'

const root = join(import.meta.dirname, '../..')

/** What is inside: production dependencies and the files that the service and its commands import, and nothing else. */
export async function contents (world: World, report: Report): Promise<void> {
  const image = world.images.service
  const entries = await list(world)
  const inApp = entries.filter(({ path }) => path.startsWith('app/') && !path.endsWith('/')).map(({ path }) => path.slice(4))
  const own = inApp.filter(path => !path.startsWith('node_modules/'))
  const wanted = new Set(sourcesOfImage(root))
  const strange = own.filter(path => !wanted.has(path))
  report.check('exactly the files that the service and its commands need', strange.length === 0 && own.length === wanted.size,
    { strange, missing: [...wanted].filter(path => !own.includes(path)), files: own.length })

  const packages = new Set(inApp.flatMap(path => /^(node_modules\/.*)\/package\.json$/.exec(path)?.[1] ?? []))
  const locked: Record<string, { dev?: boolean, link?: boolean }> = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages
  const development = [...packages].filter(name => locked[name]?.dev === true)
  report.check('no development dependency', development.length === 0 && packages.has('node_modules/fastify'), { packages: packages.size, development })
  report.check('no native module', !inApp.some(path => path.endsWith('.node')))

  const writable = entries.filter(({ path, owner, mode }) => /^(app|data|usr|etc)\//.test(path) && (owner === '10001/10001' || /^[-d].......w/.test(mode)))
  report.check('the user of the service owns /data and nothing else', writable.length === 1 && writable[0]!.path === 'data/', writable.map(({ path }) => path))
  await history(image, report)
}

interface Entry { path: string, owner: string, mode: string }

/** Every file of the image, without running anything in it. */
async function list ({ images, name }: World): Promise<Entry[]> {
  const id = await docker(['create', '--label', name, images.service])
  try {
    const { stdout, status } = spawnSync('sh', ['-c', '"$0" export "$1" | tar --list --verbose --numeric-owner', process.env.DOCKER ?? 'docker', id],
      { encoding: 'utf8', maxBuffer: 2 ** 28 })
    if (status !== 0) throw new Error('the image cannot be listed')
    return stdout.split('\n').flatMap(line => {
      const [, mode, owner, path] = /^(\S+) +(\S+) +\d+ +\S+ +\S+ +(.*?)(?: -> .*)?$/.exec(line) ?? []
      return path === undefined ? [] : [{ mode: mode!, owner: owner!, path }]
    })
  } finally {
    await docker(['rm', '--volumes', id])
  }
}

/** Layers, and what their commands and the environment tell. */
async function history (image: string, report: Report): Promise<void> {
  const lines = (await docker(['history', '--no-trunc', '--format', '{{.Size}}\t{{.CreatedBy}}', image])).split('\n')
  const { Config, Size } = await inspect(image)
  report.figure('size', `${(Size / 1e6).toFixed(1)} MB`)
  for (const line of lines.reverse()) {
    const [size = '', command = ''] = line.split('\t')
    if (/[MG]B$/.test(size)) report.figure(`layer ${command.replace(/ *#.*/, '').slice(0, 60) || 'base'}`, size)
  }
  const secrets = variableNames.filter(name => about(name).secret && name !== 'DATABASE_URL')
  const told = [...lines, ...Config.Env]
  const leaks = told.filter(text => secrets.some(name => text.includes(`${name}=`)) || /BEGIN [A-Z ]*PRIVATE KEY|_authToken|brk_|:\/\/[^/\s]*:[^/\s]*@/.test(text))
  report.check('history and environment hold no secret', leaks.length === 0, leaks)
  const labels = ['source', 'version', 'revision', 'created', 'licenses'].filter(name => !Config.Labels[`org.opencontainers.image.${name}`])
  report.check('labelled', labels.length === 0, { missing: labels })
}
