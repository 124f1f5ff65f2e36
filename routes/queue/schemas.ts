import { Type } from '@sinclair/typebox'
import { MAX_BATCH } from '../../services/administration/queue-administration.ts'

const MAX_PAGE_SIZE = 200
const DEFAULT_PAGE_SIZE = 50
const MAX_CURSOR_LENGTH = 2048

const SIDES = ['publish', 'consume'] as const
const OUTCOMES = ['replayed', 'purged', 'not_found', 'not_replayable', 'failed'] as const

const word = Type.String({ minLength: 1, maxLength: 500 })
const cursor = Type.String({ minLength: 1, maxLength: MAX_CURSOR_LENGTH, description: 'next_cursor of the answer before' })

const filter = {
  side: Type.Optional(Type.String({ pattern: '^(publish|consume)$', enum: [...SIDES], description: 'publish or consume' })),
  model: Type.Optional(Type.String({ ...word, description: 'the model\'s name, or model_id' })),
  message_id: Type.Optional(word),
  message_type: Type.Optional(word),
  error: Type.Optional(Type.String({ ...word, description: 'a part of the error, upper and lower case alike' }))
}

export const ListQuery = Type.Object({
  ...filter,
  limit: Type.Integer({ minimum: 1, maximum: MAX_PAGE_SIZE, default: DEFAULT_PAGE_SIZE }),
  cursor: Type.Optional(cursor)
}, { additionalProperties: false })

export const IdParams = Type.Object({ id: Type.String({ minLength: 1, maxLength: 255 }) })

/** One of `ids`, `filter` and `all`: routes/queue/selection.ts checks what a schema cannot say readably. */
export const SelectionRequest = Type.Object({
  ids: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 255 }), { minItems: 1, maxItems: MAX_BATCH })),
  filter: Type.Optional(Type.Object(filter, { minProperties: 1, additionalProperties: false })),
  all: Type.Optional(Type.Literal(true)),
  cursor: Type.Optional(cursor),
  confirm: Type.Optional(Type.String({ maxLength: 500, description: 'the name of the queue: needed to purge all' }))
}, {
  title: 'Selection',
  description: 'Exactly one of `ids`, `filter` and `all`; `cursor` goes with the last two.',
  additionalProperties: false,
  examples: [{ ids: ['p-7', 'c-2f1c0d9e8b7a6f5e4d3c2b1a09182736'] }, { filter: { side: 'consume', model: 'sales-lead-scorer', error: 'timeout' } }, { all: true, confirm: 'hokusai:model_ready_queue' }]
})

const nullableString = Type.Unsafe<string | null>({ type: ['string', 'null'] })
const nullableCount = Type.Unsafe<number | null>({ type: ['integer', 'null'] })
const side = Type.Unsafe<typeof SIDES[number]>({ type: 'string', enum: [...SIDES] })
const unavailable = Type.Array(Type.Object({ side, reason: Type.String() }))

const letter = {
  id: Type.String(),
  side,
  message_id: nullableString,
  message_type: nullableString,
  model: nullableString,
  error: nullableString,
  failed_at: nullableString,
  attempts: nullableCount,
  original_queue: nullableString,
  size_bytes: Type.Integer(),
  replayable: Type.Boolean()
}

export const DeadLetter = Type.Object({
  ...letter,
  original: Type.String(),
  encoding: Type.Unsafe<'utf-8' | 'base64'>({ type: 'string', enum: ['utf-8', 'base64'] })
}, { title: 'DeadLetter', description: 'One dead letter, with the message as it was.' })

export const DeadLetterPage = Type.Object({ items: Type.Array(Type.Object(letter, { title: 'DeadLetterSummary' })), next_cursor: nullableString, unavailable }, { title: 'DeadLetterPage', description: 'Newest first.' })

const outcome = Type.Unsafe<typeof OUTCOMES[number]>({ type: 'string', enum: [...OUTCOMES] })

export const SettledLetter = Type.Object({ id: Type.String(), outcome, reason: nullableString }, { title: 'SettledLetter', description: 'What became of it.' })

export const SettledBatch = Type.Object({
  results: Type.Array(SettledLetter),
  remaining: Type.Boolean(),
  next_cursor: nullableString,
  unavailable
}, { title: 'SettledBatch', description: 'What became of each; `remaining` tells whether there are more.' })

export const QueueOverview = Type.Object({
  queue: Type.String(),
  waiting: nullableCount,
  stream: nullableCount,
  processing: nullableCount,
  delayed: nullableCount,
  dead_letters: Type.Object({ publish: nullableCount, consume: nullableCount, interrupted: nullableCount }),
  journal: Type.Union([Type.Null(), Type.Object({
    pending_rows: Type.Integer(),
    pending_bytes: Type.Integer(),
    oldest_pending_age_ms: Type.Number(),
    retained_rows: Type.Integer(),
    retained_bytes: Type.Integer(),
    pressure: Type.Unsafe<'none' | 'high' | 'full'>({ type: 'string', enum: ['none', 'high', 'full'] })
  })]),
  /** What the relay of this process has done; null where Redis is disabled. */
  relay: Type.Union([Type.Null(), Type.Unsafe<Record<string, unknown>>({ type: 'object', additionalProperties: true })]),
  unavailable: Type.Array(Type.Object({ part: Type.String(), reason: Type.String() }))
}, { title: 'QueueOverview', description: 'What is where; null where Redis could not be asked.' })
