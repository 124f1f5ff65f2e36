import type { QueueTracing } from '../observability/tracing/queue-tracing.ts'
import type { ClosablePublisher } from './publisher-factory.ts'

/** Each message gets a span, and carries its context. */
export function tracedPublisher (publisher: ClosablePublisher, tracing: QueueTracing): ClosablePublisher {
  return {
    publish: (message, origin, options) => tracing.publish(
      origin,
      (origin) => publisher.publish(message, origin, options),
      ({ messageId, durability, via }) => ({ 'messaging.message.id': messageId, 'breakwater.durability': durability, 'breakwater.via': via })
    ),
    close: () => publisher.close()
  }
}
