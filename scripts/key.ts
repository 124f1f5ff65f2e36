import { createHash, randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'

const USAGE = `Makes an API key. The key is shown once; the service is given only its digest.

  npm run --silent key -- NAME [read|write|admin]     default: write
`

/** @returns the exit code: 0 good, 1 bad. */
export function makeKey (args: string[]): number {
  const { positionals: [name = '', scope = 'write'] } = parseArgs({ args, allowPositionals: true })
  if (!/^[\w.-]{1,64}$/.test(name) || !['read', 'write', 'admin'].includes(scope)) {
    process.stderr.write(USAGE)
    return 1
  }
  const key = `brk_${randomBytes(32).toString('base64url')}`
  const sha256 = createHash('sha256').update(key).digest('hex')
  process.stdout.write(`${JSON.stringify({ key, entry: `${name}:${scope}:${sha256}` })}\n`)
  return 0
}

if (import.meta.main) process.exitCode = makeKey(process.argv.slice(2))
