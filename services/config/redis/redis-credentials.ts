import { isLoopback } from '../host.ts'
import { quote } from '../masking.ts'
import type { Problems } from '../problems.ts'
import type { RedisTarget } from './redis-target.ts'
import type { Environment } from '../schema.ts'

type Stated = Partial<Environment>

/** Credentials that are fetched, instead of those that the environment holds. */
export function readCredentials (target: RedisTarget, stated: Stated, region: string | undefined, problems: Problems): RedisTarget {
  const { REDIS_AUTH_SECRET_ARN: secret, REDIS_IAM_CACHE_NAME: cacheName } = stated
  reportLonely(stated, problems)
  if (secret === undefined && cacheName === undefined) return target
  reportRivals(target, stated, problems)
  if (cacheName === undefined) {
    target.sources.auth = 'REDIS_AUTH_SECRET_ARN'
    return { ...target, auth: 'secret', secret: { id: secret!, field: stated.REDIS_AUTH_SECRET_KEY ?? null } }
  }
  target.sources.auth = 'REDIS_IAM_CACHE_NAME'
  reportUnready(target, region, problems)
  // ElastiCache keeps names in lower case, and the signature covers what we write.
  return { ...target, auth: 'iam', iam: { cacheName: cacheName.toLowerCase(), serverless: stated.REDIS_IAM_SERVERLESS ?? false, region: region ?? '' } }
}

export function reviewCredentials ({ host: single, sentinel, username, auth, sources }: RedisTarget, problems: Problems): void {
  const host = single ?? sentinel?.nodes.find((node) => !isLoopback(node.host))?.host ?? null
  if (auth !== 'none') return
  if (username !== null) {
    problems.add('FST_BRK_CONFIG_USER_WITHOUT_TOKEN', sources.username!, `${sources.username} names a user, but there is no token.`)
  } else if (host !== null && !isLoopback(host)) {
    problems.add('FST_BRK_CONFIG_NO_TOKEN', 'REDIS_AUTH_TOKEN', `Redis at ${quote(host)} is on another machine, but there is no token.`)
  }
}

/** A variable that only says more about another one. */
function reportLonely (stated: Stated, problems: Problems): void {
  const pairs = [['REDIS_AUTH_SECRET_KEY', 'REDIS_AUTH_SECRET_ARN'], ['REDIS_IAM_SERVERLESS', 'REDIS_IAM_CACHE_NAME']] as const
  for (const [name, other] of pairs) {
    const idle = stated[name] === undefined || stated[name] === false
    if (!idle && stated[other] === undefined) problems.add('FST_BRK_CONFIG_CREDENTIALS', name, `${name} is set, but ${other} is not.`)
  }
}

/** Nobody can tell which of two tokens was meant, and a wrong one may lock the user out. */
function reportRivals ({ password, sources }: RedisTarget, stated: Stated, problems: Problems): void {
  const fetched = (['REDIS_AUTH_SECRET_ARN', 'REDIS_IAM_CACHE_NAME'] as const).filter((name) => stated[name] !== undefined)
  const all = [...password === null ? [] : [sources.auth!], ...fetched]
  if (all.length > 1) problems.add('FST_BRK_CONFIG_CREDENTIALS', fetched[0]!, `${all.join(' and ')} each state how to authenticate.`)
}

function reportUnready ({ tls, username }: RedisTarget, region: string | undefined, problems: Problems): void {
  const add = (message: string) => problems.add('FST_BRK_CONFIG_CREDENTIALS', 'REDIS_IAM_CACHE_NAME', `REDIS_IAM_CACHE_NAME is set, but ${message}.`)
  if (!tls) add('TLS is off: ElastiCache takes IAM tokens over TLS only')
  if (username === null) add('there is no user: REDIS_USERNAME must be the id of an ElastiCache user with IAM authentication')
  if (region === undefined || region === '') add('AWS_REGION is not: the token is signed for a region')
}
