import type { QueueTracing } from '../observability/tracing/queue-tracing.ts'
import type { Store } from './store.ts'

/** Each registration gets a span, and the event that announces it carries its context. */
export function tracedStore (store: Store, tracing: QueueTracing): Store {
  const { registry } = store
  return {
    ...store,
    registry: {
      register: (request, options) => tracing.publish(
        options,
        (options) => registry.register(request, options),
        ({ outcome, event }) => ({
          'messaging.message.id': event.message_id ?? undefined,
          'breakwater.durability': event.durability,
          'breakwater.via': 'journal',
          'breakwater.outcome': event.state === 'skipped' ? event.reason : outcome
        })
      ),
      list: (query) => registry.list(query),
      versions: (name, page) => registry.versions(name, page),
      find: (name, version) => registry.find(name, version)
    }
  }
}
