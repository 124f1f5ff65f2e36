import { randomBytes } from 'node:crypto'
import { ask, jsonOf } from '../request.ts'
import { describe, failed, keyHeader, passed } from './check.ts'
import type { Check, Target } from './check.ts'

/** Consumers that know the tag can leave the model alone. */
export const VERIFICATION_TAG = 'breakwater_verification'

/** A model that was registered for the sake of the test, and its event. */
export interface Registered {
  modelId: string
  messageId: string
  /** On the clock of `performance.now()`. */
  answeredAt: number
}

export interface Registration { check: Check, registered: Registered | null }

/** By which this run's models are told from others. */
export const THROWAWAY_PREFIX = 'breakwater-verify-'

/** A name that no other run uses, and that says where it comes from. */
export function throwawayName (): string {
  return `${THROWAWAY_PREFIX}${new Date().toISOString().slice(0, 19).replaceAll(/\D/g, '')}-${randomBytes(4).toString('hex')}`
}

/** `POST /models` with a model of its own. Never rejects. */
export async function registerThrowaway (target: Target, { tokenId, label = 'POST /models' }: { tokenId: string, label?: string }): Promise<Registration> {
  const name = throwawayName()
  try {
    const reply = await ask({
      url: `${target.url}/models`,
      method: 'POST',
      headers: { ...keyHeader(target.apiKey), 'idempotency-key': name },
      body: JSON.stringify({
        model_name: name, version: '1', token_id: tokenId, metric_name: 'verification', baseline_value: 0, current_value: 1, tags: { [VERIFICATION_TAG]: 'true' }
      }),
      timeoutMs: target.timeoutMs,
      signal: target.signal
    })
    if (reply.status !== 201) return { check: failed(label, `${describe(reply)}${remedyOf(reply.status)}`, reply.latencyMs), registered: null }
    const { model_id: modelId, event } = jsonOf(reply.body) as { model_id?: string, event?: { message_id?: string | null, state?: string, durability?: string } } | null ?? {}
    if (typeof modelId !== 'string' || typeof event?.message_id !== 'string') return { check: failed(label, `201, but the answer names no event: ${describe(reply)}`, reply.latencyMs), registered: null }
    const check = passed(label, `201, ${name}, event ${event.message_id} is durable (${event.durability})`, reply.latencyMs)
    return { check, registered: { modelId, messageId: event.message_id, answeredAt: performance.now() } }
  } catch (err) {
    return { check: failed(label, (err as Error).message), registered: null }
  }
}

function remedyOf (status: number): string {
  if (status === 401) return ' (name a variable that holds a valid key: --api-key-env)'
  return status === 403 ? ' (the key needs the scope write)' : ''
}
