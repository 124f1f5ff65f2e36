import type { RedisTarget } from '../config/redis/redis-target.ts'
import { elastiCacheIam } from './elasticache-iam.ts'
import type { CredentialProvider } from './provider.ts'
import { secretsManager } from './secrets-manager.ts'

/** Where the credentials of a target come from; null: it holds them itself, or needs none. */
export function providerOf ({ secret, iam, username }: Pick<RedisTarget, 'secret' | 'iam' | 'username'>): CredentialProvider | null {
  if (secret !== undefined) return secretsManager({ secretId: secret.id, field: secret.field ?? undefined })
  if (iam !== undefined) return elastiCacheIam({ ...iam, username: username ?? '' })
  return null
}

/**
 * What a program that connects once, and is not there when credentials change, authenticates with; in ioredis' terms.
 * @throws what the source throws
 */
export async function credentialsOf (target: RedisTarget, timeoutMs = 5000): Promise<{ username?: string, password?: string }> {
  const provider = providerOf(target)
  if (provider === null) return target.password === null ? {} : { password: target.password.reveal() }
  const { username, password } = await provider.fetch(AbortSignal.timeout(timeoutMs))
  return { ...username === undefined || username === null ? {} : { username }, password: password.reveal() }
}
