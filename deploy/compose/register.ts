import { setTimeout as delay } from 'node:timers/promises'

const PATIENCE_MS = 60_000

/** Of `GET /queue`: null where Redis could not be asked. */
interface Queue { journal: { pending_rows: number } | null, waiting: number | null, processing: number | null }

/** Registers a model and waits until a consumer has taken its event. @returns the exit code: 0 consumed, 1 not. */
export async function register (base: string, apiKey: string, { patienceMs = PATIENCE_MS, say = print } = {}): Promise<number> {
  const headers = { 'x-api-key': apiKey, 'content-type': 'application/json' }
  const model = { model_name: 'demo', version: String(Date.now()), token_id: 'demo', metric_name: 'auroc', baseline_value: 0.71, current_value: 0.83 }
  const answer = await fetch(`${base}/models`, { method: 'POST', headers, body: JSON.stringify(model), signal: AbortSignal.timeout(10_000) })
  say(`registered: ${answer.status} ${await answer.text()}`)
  if (answer.status !== 201) return 1
  const consumed = await untilConsumed(base, headers, Date.now() + patienceMs)
  say(consumed ? 'its event was consumed: see the log of the consumer' : 'its event was not consumed')
  return consumed ? 0 : 1
}

/** Nothing waits: in the journal, in the queue, or in a consumer's hands. Twice, because an answer is not of one instant: the event may be between its parts. */
async function untilConsumed (base: string, headers: Record<string, string>, giveUpAt: number): Promise<boolean> {
  let empty = 0
  while (empty < 2 && Date.now() < giveUpAt) {
    const answer = await fetch(`${base}/queue`, { headers, signal: AbortSignal.timeout(5000) })
    const { journal, waiting, processing } = await answer.json() as Queue
    empty = journal?.pending_rows === 0 && waiting === 0 && processing === 0 ? empty + 1 : 0
    await delay(100)
  }
  return empty === 2
}

function print (text: string): void {
  process.stdout.write(`${text}\n`)
}

if (import.meta.main) process.exitCode = await register(process.env.SERVICE_URL!, process.env.API_KEY!)
