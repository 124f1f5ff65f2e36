import { Type } from '@sinclair/typebox'

const MAX_PAGE_SIZE = 200
const DEFAULT_PAGE_SIZE = 50
const MAX_CURSOR_LENGTH = 2048

const word = Type.String({ minLength: 1, maxLength: 500 })
const cursor = Type.String({ minLength: 1, maxLength: MAX_CURSOR_LENGTH, description: 'next_cursor of the answer before' })

const filter = {
  side: Type.Optional(Type.String({ pattern: '^(publish|consume)$', description: 'publish or consume' })),
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
  ids: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 255 }), { description: '1 to 1000 ids' })),
  filter: Type.Optional(Type.Object(filter, { additionalProperties: false })),
  all: Type.Optional(Type.Boolean({ description: 'true' })),
  cursor: Type.Optional(cursor),
  confirm: Type.Optional(Type.String({ maxLength: 500, description: 'the name of the queue: needed to purge all' }))
}, { additionalProperties: false })

const nullableString = Type.Unsafe<string | null>({ type: ['string', 'null'] })
const nullableCount = Type.Unsafe<number | null>({ type: ['integer', 'null'] })
const side = Type.Unsafe<'publish' | 'consume'>({ type: 'string' })
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
  encoding: Type.Unsafe<'utf-8' | 'base64'>({ type: 'string' })
}, { description: 'One dead letter, with the message as it was.' })

export const DeadLetterPage = Type.Object({ items: Type.Array(Type.Object(letter)), next_cursor: nullableString, unavailable }, { description: 'Newest first.' })

const outcome = Type.Unsafe<'replayed' | 'purged' | 'not_found' | 'not_replayable' | 'failed'>({ type: 'string' })

export const SettledLetter = Type.Object({ id: Type.String(), outcome, reason: nullableString }, { description: 'What became of it.' })

export const SettledBatch = Type.Object({
  results: Type.Array(SettledLetter),
  remaining: Type.Boolean(),
  next_cursor: nullableString,
  unavailable
}, { description: 'What became of each; `remaining` tells whether there are more.' })

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
    pressure: Type.Unsafe<'none' | 'high' | 'full'>({ type: 'string' })
  })]),
  /** What the relay of this process has done; null where Redis is disabled. */
  relay: Type.Union([Type.Null(), Type.Unsafe<Record<string, unknown>>({ type: 'object', additionalProperties: true })]),
  unavailable: Type.Array(Type.Object({ part: Type.String(), reason: Type.String() }))
}, { description: 'What is where; null where Redis could not be asked.' })
