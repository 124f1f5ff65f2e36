import { parseArgs } from 'node:util'
import type { LetterFilter } from '../../services/administration/filter.ts'
import { nearest } from '../../services/naming/nearest.ts'

export const USAGE = `Shows the queue and its dead letters, and replays or purges them. The service may run meanwhile.

  breakwater queue status
  breakwater queue list   [filter] [--limit N] [--cursor CURSOR]
  breakwater queue show   ID
  breakwater queue replay ID… | --all | filter
  breakwater queue purge  ID… | --all | filter

  filter, every part given must hold:
    --side publish|consume   the journal's dead letters, or those in <queue>:dlq
    --model NAME             the model's name, or model_id
    --message-id ID
    --message-type TYPE
    --error TEXT             a part of the error

  --queue NAME   default QUEUE_NAME, else hokusai:model_ready_queue
  --yes          do not ask; needed for --all, and for a purge by filter, where there is no terminal
  --json         one JSON document on standard output, and nothing else
  --help

Redis comes from REDIS_URL or REDIS_HOST and its companions, the journal from DATABASE_URL.
Exit code: 0 good, 1 bad or wrong usage, 2 only a part of it: something was not found, or one side could not be read.
`

const options = {
  side: { type: 'string' },
  model: { type: 'string' },
  'message-id': { type: 'string' },
  'message-type': { type: 'string' },
  error: { type: 'string' },
  limit: { type: 'string' },
  cursor: { type: 'string' },
  all: { type: 'boolean', default: false },
  queue: { type: 'string' },
  yes: { type: 'boolean', default: false },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false }
} as const

const commands = ['status', 'list', 'show', 'replay', 'purge'] as const
export type QueueCommand = typeof commands[number]

export interface QueueFlags {
  command: QueueCommand
  ids: string[]
  filter: LetterFilter
  filtered: boolean
  limit: number
  cursor: string | undefined
  all: boolean
  queue: string | undefined
  yes: boolean
  json: boolean
}

const MAX_LIMIT = 1000

/** The flags, `help`, or what is wrong with them. */
export function readFlags (args: string[]): QueueFlags | 'help' | { wrong: string } {
  try {
    const { values, positionals } = parseArgs({ args, options, allowPositionals: true })
    if (values.help) return 'help'
    const [command, ...ids] = positionals
    if (command === undefined) return { wrong: 'Say what to do with the queue.' }
    if (!isCommand(command)) return { wrong: unknownCommand(command) }
    const { side, model, error, limit = '50', cursor, all, queue, yes, json } = values
    const filter = withoutGaps({ side, model, message_id: values['message-id'], message_type: values['message-type'], error })
    const flags = { command, ids, filter, filtered: Object.keys(filter).length > 0, limit: Number(limit), cursor, all, queue, yes, json }
    const wrong = contradiction(flags)
    return wrong === null ? flags : { wrong }
  } catch (err) {
    return { wrong: (err as Error).message }
  }
}

function contradiction ({ command, ids, filter, filtered, limit, all, cursor }: QueueFlags): string | null {
  if (filter.side !== undefined && !/^(publish|consume)$/.test(filter.side)) return '--side is publish or consume.'
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT) return `--limit must be a whole number from 1 to ${MAX_LIMIT}.`
  if (command === 'show' && ids.length !== 1) return 'show needs one id.'
  if (command !== 'list' && cursor !== undefined) return '--cursor goes with list.'
  if ((command === 'status' || command === 'list') && ids.length > 0) return `${command} takes no ids.`
  const selections = Number(ids.length > 0) + Number(all) + Number(filtered)
  if ((command === 'replay' || command === 'purge') && selections !== 1) return `${command} needs ids, or --all, or a filter: one of the three.`
  return null
}

function withoutGaps (filter: Record<string, string | undefined>): LetterFilter {
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined)) as LetterFilter
}

function isCommand (name: string): name is QueueCommand {
  return (commands as readonly string[]).includes(name)
}

function unknownCommand (name: string): string {
  const meant = nearest(name, commands, 3)
  return `There is no command "${name}"${meant === null ? '' : `; did you mean ${meant}?`}`
}
