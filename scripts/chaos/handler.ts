import { openSync, writeSync } from 'node:fs'
import type { ReceivedMessage } from '../../services/queue/read-envelope.ts'

let log: number | null = null

/**
 * Handles a message by noting that it did, in one write and before the acknowledgement: what a kill cuts off is not acknowledged.
 * Every fiftieth version fails at first and has to come again.
 */
export async function handle ({ payload, retry_count: retries }: ReceivedMessage): Promise<void> {
  if (Number(payload.model_version) % 50 === 0 && retries === 0) throw new Error('not yet')
  log ??= openSync(process.env.CHAOS_HANDLED!, 'a')
  writeSync(log, `${payload.model_name}/${payload.model_version}\n`)
}
