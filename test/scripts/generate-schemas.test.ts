import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Ajv } from 'ajv'
import t from 'tap'
import { generateSchemas } from '../../scripts/generate-schemas.ts'
import { pruneDeclarations } from '../../scripts/prune-declarations.ts'
import { deadLetter } from '../../services/queue/dead-letter.ts'
import { buildEnvelope } from '../../services/queue/envelope.ts'
import { assertModelReady } from '../../services/queue/message.ts'
import { publishedSchemas } from '../../services/queue/published-schemas.ts'
import { temporaryDirectory } from '../helpers/temporary.ts'

const message = {
  model_id: 'churn/1/hok', model_name: 'churn', model_version: '1', token_symbol: 'hok', metric_name: 'auc', baseline_value: 0.8, current_value: 0.9
}
const ajv = new Ajv({ strict: true, strictRequired: false })
const validators = Object.fromEntries(Object.entries(publishedSchemas).map(([name, schema]) => [name, ajv.compile(schema)]))

t.test('R11.4 the published schemas are those of the code', t => {
  const stale = generateSchemas(resolve(import.meta.dirname, '../../schemas'), { write: false })
  t.strictSame(stale, [], 'if not: npm run schemas')
  t.end()
})

t.test('writing brings them up to date, once', async t => {
  const directory = join(await temporaryDirectory(t), 'schemas')
  t.strictSame(generateSchemas(directory, { write: false }), Object.keys(publishedSchemas))
  t.strictSame(generateSchemas(directory, { write: true }), Object.keys(publishedSchemas))
  writeFileSync(join(directory, 'envelope.json'), '{}')
  t.strictSame(generateSchemas(directory, { write: true }), ['envelope'])
  t.match(JSON.parse(readFileSync(join(directory, 'envelope.json'), 'utf8')), { $id: 'urn:fastify-breakwater:envelope', type: 'object' })
})

t.test('what the publisher writes fits, with and without everything optional', t => {
  const full = {
    ...message,
    mlflow_run_id: 'run',
    proposal_identifier: 'p',
    improvement_percentage: 1.5,
    contributor_address: `0x${'a'.repeat(40)}`,
    experiment_name: 'e',
    tags: { team: 'a' },
    api_schema: { type: 'object' },
    eval_spec: 's',
    scorer_ref: 'r',
    primary_metric: 'm',
    benchmark_spec_id: 'b'
  }
  for (const given of [message, full, { ...message, baseline_value: 0, tags: null }]) {
    assertModelReady(given)
    const { body } = buildEnvelope(given, { correlationId: 'c', traceparent: 't' })
    t.ok(validators['model-ready-message']!(given))
    t.ok(validators.envelope!(JSON.parse(body)))
    t.ok(validators['model-ready-to-deploy']!(JSON.parse(body)), ajv.errorsText(validators['model-ready-to-deploy']!.errors))
    t.ok(validators['dead-letter']!(JSON.parse(deadLetter(Buffer.from(body), new Error('no'), 'queue').toString())))
  }
  t.end()
})

t.test('what publish() refuses does not fit, and both are closed', t => {
  for (const wrong of [{ ...message, token_symbol: 'HOK' }, { ...message, extra: 1 }, { ...message, baseline_value: '0.8' }, { ...message, model_name: ' churn' }, {}]) {
    t.throws(() => assertModelReady(wrong), { code: 'FST_BRK_MESSAGE_INVALID' })
    t.notOk(validators['model-ready-message']!(wrong), JSON.stringify(wrong))
  }
  const element = JSON.parse(buildEnvelope(message, { correlationId: 'c' }).body)
  for (const wrong of [{ ...element, extra: 1 }, { ...element, retry_count: -1 }, { ...element, timestamp: '2026-11-21T10:18:32Z' }]) {
    t.notOk(validators.envelope!(wrong), JSON.stringify(wrong))
    t.notOk(validators['model-ready-to-deploy']!(wrong))
  }
  t.notOk(validators['model-ready-to-deploy']!({ ...element, payload: { ...element.payload, extra: 1 } }))
  t.end()
})

t.test('of the declarations only those that an export reaches are packed', async t => {
  const root = await temporaryDirectory(t)
  const files = {
    'package.json': JSON.stringify({ exports: { '.': { types: './dist/index.d.ts' }, './schemas/*.json': './schemas/*.json' } }),
    'dist/index.d.ts': "export { a } from './used/a.ts'\nexport type B = import('./used/b.ts').B",
    'dist/used/a.d.ts': "import type { Redis } from 'ioredis'\nimport '../index.js'\nexport declare const a: Redis",
    'dist/used/b.d.ts': 'export interface B {}',
    'dist/inner.d.ts': 'export {}',
    'dist/inner.js': 'export {}'
  }
  mkdirSync(join(root, 'dist/used'), { recursive: true })
  for (const [name, text] of Object.entries(files)) writeFileSync(join(root, name), text)
  t.strictSame(pruneDeclarations(root), ['dist/inner.d.ts'])
  t.strictSame(pruneDeclarations(root), [])
})
