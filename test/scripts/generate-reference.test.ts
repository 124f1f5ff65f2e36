import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { generate } from '../../scripts/generate-reference.ts'

const read = (file: string) => readFileSync(join(import.meta.dirname, '../..', file), 'utf8')

t.test('R11.4 docs/plugins.md and docs/errors.md are what the sources say', async (t) => {
  t.strictSame(await generate({ write: false }), [], 'up to date; else: npm run docs:reference')
  const plugins = read('docs/plugins.md')
  for (const text of ['## redis', '`fastify.redisGuard`', '| `commandTimeoutMs` | integer, ≥ 1 |', '`request.caller`', 'list: string']) t.ok(plugins.includes(text), text)
  const errors = read('docs/errors.md')
  for (const row of [/`FST_BRK_CIRCUIT_OPEN` \| 503/, /`FST_BRK_MODEL_EXISTS` \| 409 \| Model … already/, /`FST_BRK_OPTION_INVALID` \| 500/]) t.match(errors, row)
  t.notMatch(errors, /undefined|%s/)
})
