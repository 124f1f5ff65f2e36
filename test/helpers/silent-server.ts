import { startFaultProxy } from './fault-proxy.ts'
import type { Teardown } from './redis-server.ts'

/** `answer-nothing`: accepts and stays silent, as a half-dead load balancer does. `hang-up`: accepts and closes. */
export type Manners = 'answer-nothing' | 'hang-up'

/** A server that is no Redis; returns its port. */
export async function startSilentServer (t: Teardown, manners: Manners): Promise<number> {
  const { port } = await startFaultProxy(t, 0, manners === 'hang-up' ? 'hang-up' : 'accept-silent')
  return port
}
