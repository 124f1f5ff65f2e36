import type { QueueTracing } from '../observability/tracing/queue-tracing.ts'
import { PostponeMessage } from './errors.ts'
import type { Handler } from './options.ts'

/** Each attempt gets a span, in the trace of the request that published the message, however long ago that was. */
export function tracedHandler (handler: Handler, tracing: QueueTracing): Handler {
  return async (message, context) => {
    const { attempt, signal } = context
    const { correlation_id: correlationId, traceparent } = Object(message.payload.tags) as Record<string, unknown>
    const about = { messageId: message.message_id, correlationId: text(correlationId), traceparent: text(traceparent), attempt, signal, isFailure }
    return await tracing.process(about, (traceparent) => handler(message, { ...context, traceparent }))
  }
}

function isFailure (error: unknown): boolean {
  return !(error instanceof PostponeMessage)
}

function text (value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}
