import { startFaultProxy } from './fault-proxy.ts'
import type { Teardown } from './redis-server.ts'

/** Stands before a server and holds back its replies for a while, in their order, also while the delay changes. Returns its port. */
export async function startSlowProxy (t: Teardown, target: number, delayMs: () => number): Promise<number> {
  const proxy = await startFaultProxy(t, target)
  proxy.replyDelayMs = delayMs
  return proxy.port
}
