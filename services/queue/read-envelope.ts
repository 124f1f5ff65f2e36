import { EnvelopeMalformed } from './errors.ts'

/** One message as it lies in the queue. Consumers read any payload: the queue is not only ours. */
export interface ReceivedMessage {
  message_id: string
  message_type: string
  payload: Record<string, unknown>
  timestamp: string
  retry_count: number
  max_retries: number
}

const rules: Record<keyof ReceivedMessage, [rule: string, test: (value: unknown) => boolean]> = {
  message_id: ['a non-empty string', isText],
  message_type: ['a non-empty string', isText],
  payload: ['an object', isObject],
  timestamp: ['a non-empty string', isText],
  retry_count: ['an integer of 0 or more', isCount],
  max_retries: ['an integer of 0 or more', isCount]
}

/**
 * Reads a list element of the queue: the envelope is closed, so a field too many is as wrong as one too few.
 * @throws {EnvelopeMalformed} naming every problem at once.
 */
export function readEnvelope (body: string): ReceivedMessage {
  const value = parse(body)
  if (!isObject(value)) throw new EnvelopeMalformed('it is not a JSON object')
  const problems = Object.entries(rules)
    .filter(([name, [, test]]) => !test(value[name]))
    .map(([name, [rule]]) => `${name} must be ${rule}`)
  for (const name of Object.keys(value)) {
    if (!Object.hasOwn(rules, name)) problems.push(`${name} is not a field of the envelope`)
  }
  if (problems.length > 0) throw new EnvelopeMalformed(problems.join('; '))
  return value as unknown as ReceivedMessage
}

function parse (body: string): unknown {
  try {
    return JSON.parse(body)
  } catch (cause) {
    throw new EnvelopeMalformed('it is not JSON', { cause })
  }
}

function isText (value: unknown): boolean {
  return typeof value === 'string' && value.length > 0
}

function isCount (value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0
}

function isObject (value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
