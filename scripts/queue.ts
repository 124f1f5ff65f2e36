import { createInterface } from 'node:readline/promises'
import { reasonOf } from '../services/administration/consumer-side/client.ts'
import { loadConfig } from '../services/config/load.ts'
import { connect } from './queue/connect.ts'
import type { Connected } from './queue/connect.ts'
import { USAGE, readFlags } from './queue/flags.ts'
import type { QueueFlags } from './queue/flags.ts'
import { exitCodeOf, settleAll } from './queue/settle-all.ts'
import { listText, settledText, showText, statusText } from './queue/text.ts'

interface Answer { document: object, text: string, exitCode: number }

/** @returns the exit code: 0 good, 1 bad, 2 only a part of it. */
export async function queue (args: string[], env: NodeJS.ProcessEnv): Promise<number> {
  const flags = readFlags(args)
  if (flags === 'help') return say(process.stdout, USAGE, 0)
  if ('wrong' in flags) return say(process.stderr, `${flags.wrong}\n\n${USAGE}`, 1)
  // It listens nowhere, and an image sets HOST to what a service needs.
  const { config, errors } = loadConfig({ ...env, HOST: '' })
  if (errors.length > 0) {
    const text = errors.map(({ message, remedy }) => `${message} ${remedy}\n`).join('')
    return flags.json ? say(process.stdout, asJson({ errors }), 1) : say(process.stderr, text, 1)
  }
  const name = flags.queue ?? config.publisher.queueName
  if (!await agreed(flags, name)) return say(process.stderr, 'Nothing was done.\n', 1)
  const connected = await connect(config, name)
  try {
    const { document, text, exitCode } = await answer(flags, connected)
    say(process.stderr, unseen(document, connected.notes), exitCode)
    return say(process.stdout, flags.json ? asJson(document) : text, exitCode)
  } catch (err) {
    const { code = 'FST_BRK_UNEXPECTED', message } = err as { code?: string, message: string }
    say(process.stderr, unseen({}, connected.notes), 1)
    return flags.json ? say(process.stdout, asJson({ error: { code, message } }), 1) : say(process.stderr, `${message}\n`, 1)
  } finally {
    await connected.close()
  }
}

async function answer (flags: QueueFlags, { administration }: Connected): Promise<Answer> {
  switch (flags.command) {
    case 'status': {
      const document = await administration.overview()
      const { length } = document.unavailable
      return { document, text: statusText(document), exitCode: length === 0 ? 0 : document.journal === null && document.waiting === null ? 1 : 2 }
    }
    case 'list': {
      const document = await administration.list({ ...flags.filter, limit: flags.limit, cursor: flags.cursor })
      return { document, text: listText(document), exitCode: document.unavailable.length === 0 ? 0 : 2 }
    }
    case 'show': {
      const document = await administration.find(flags.ids[0]!)
      return { document, text: showText(document), exitCode: 0 }
    }
    default: {
      const document = await settleAll(administration, flags.command, flags)
      return { document, text: settledText(document), exitCode: exitCodeOf(document) }
    }
  }
}

/** Everything at once, or a deletion of what nobody has named, needs a second thought, or `--yes`. */
async function agreed ({ command, all, filtered, yes }: QueueFlags, name: string): Promise<boolean> {
  const grave = (command === 'replay' && all) || (command === 'purge' && (all || filtered))
  if (!grave || yes) return true
  if (!process.stdin.isTTY) {
    process.stderr.write(`Without a terminal to ask, ${command} of ${all ? 'all' : 'a filter'} needs --yes.\n`)
    return false
  }
  const lines = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const reply = await lines.question(`${command === 'purge' ? 'Delete for good' : 'Replay'} ${all ? 'all' : 'matching'} dead letters of ${name}? [y/N] `)
    return /^y(es)?$/i.test(reply.trim())
  } finally {
    lines.close()
  }
}

/** What the answer leaves out, and why: said once for each reason. */
function unseen (document: object, notes: string[]): string {
  const { unavailable = [] } = document as { unavailable?: { reason: string }[] }
  const general = new Set(['Redis is disabled', 'There is no journal at hand'])
  const reasons = unavailable.map(({ reason }) => reason).filter((reason) => !general.has(reason))
  return [...new Set([...notes, ...reasons])].map((reason) => `Not seen: ${reasonOf(reason)}\n`).join('')
}

function asJson (document: object): string {
  return `${JSON.stringify(document, null, 2)}\n`
}

function say (stream: NodeJS.WriteStream, text: string, exitCode: number): number {
  stream.write(text)
  return exitCode
}

if (import.meta.main) process.exitCode = await queue(process.argv.slice(2), process.env)
