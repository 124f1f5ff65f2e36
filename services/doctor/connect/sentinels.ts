import type { NodeAddress } from '../../config/redis/redis-target.ts'
import { connectionSettings } from '../../redis/connection/client-options.ts'
import { PrimaryResolver } from '../../redis/sentinel/primary-resolver.ts'
import type { Reaching } from './reach.ts'

/** Where the primary is, as the service finds out. Rejects within the connect timeout. */
export async function askSentinels ({ target, timeoutMs, ca }: Reaching, commandTimeoutMs: number): Promise<NodeAddress> {
  const settings = connectionSettings({ target, name: 'breakwater-doctor', commandTimeoutMs, connectTimeoutMs: timeoutMs, tls: ca === undefined ? {} : { ca } })
  const resolver = new PrimaryResolver({ sentinel: target.sentinel!, settings, commandTimeoutMs })
  try {
    return await resolver.resolve()
  } finally {
    await resolver.close()
  }
}
