import type { SignatureV4 } from '@smithy/signature-v4'
import { Secret } from '../config/secret.ts'
import { loadPeer } from '../peers/load-peer.ts'
import { CredentialsUnavailable } from './errors.ts'
import type { CredentialProvider } from './provider.ts'

export interface AwsCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
  readonly expiration?: Date
}

export interface ElastiCacheIamOptions {
  /** Replication group id, or name of the serverless cache; in lower case, as ElastiCache stores it. */
  cacheName: string
  /** The ElastiCache user; user name and user id are the same for IAM. */
  username: string
  region: string
  serverless?: boolean | undefined
  /** Where the AWS credentials come from. Default: the SDK's chain (environment, container, instance…). */
  credentials?: AwsCredentials | (() => Promise<AwsCredentials>) | undefined
  /** Milliseconds since 1970. */
  now?: (() => number) | undefined
}

/** The longest that ElastiCache accepts. */
const TOKEN_LIFE_SECONDS = 900
/** ElastiCache cuts a connection that has not authenticated again for twelve hours. */
const CONNECTION_LIFETIME_MS = 12 * 3_600_000

/**
 * IAM authentication of ElastiCache: the password is a signed request to connect. Each connection gets one of its own.
 *
 * @see https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/auth-iam.html
 * @throws FST_BRK_PEER_MISSING, FST_BRK_CREDENTIALS_UNAVAILABLE from `fetch`
 */
export function elastiCacheIam ({ now = Date.now, ...options }: ElastiCacheIamOptions): CredentialProvider {
  let signer: Promise<SignatureV4> | null = null
  return {
    name: 'iam',
    perConnection: true,
    connectionLifetimeMs: CONNECTION_LIFETIME_MS,
    async fetch () {
      const signedAt = now()
      const { query } = await sign(await (signer ??= makeSigner(options)), options, signedAt)
      const token = `${options.cacheName}/?${new URLSearchParams(query as Record<string, string>).toString()}`
      return { username: options.username, password: new Secret(token), expiresAt: signedAt + TOKEN_LIFE_SECONDS * 1000 }
    }
  }
}

async function makeSigner ({ region, credentials }: ElastiCacheIamOptions): Promise<SignatureV4> {
  const feature = 'REDIS_IAM_CACHE_NAME'
  const { SignatureV4 } = await loadPeer('@smithy/signature-v4', feature, () => import('@smithy/signature-v4'))
  const { Sha256 } = await loadPeer('@aws-crypto/sha256-js', feature, () => import('@aws-crypto/sha256-js'))
  return new SignatureV4({ service: 'elasticache', region, sha256: Sha256, credentials: credentials ?? await chain(feature) })
}

async function chain (feature: string) {
  const { defaultProvider } = await loadPeer('@aws-sdk/credential-provider-node', feature, () => import('@aws-sdk/credential-provider-node'))
  return defaultProvider()
}

async function sign (signer: SignatureV4, { cacheName, username, serverless = false }: ElastiCacheIamOptions, signedAt: number) {
  const query = { Action: 'connect', User: username, ...serverless ? { ResourceType: 'ServerlessCache' } : {} }
  const request = { method: 'GET', protocol: 'http:', hostname: cacheName, path: '/', query, headers: { host: cacheName } }
  return await signer.presign(request, { expiresIn: TOKEN_LIFE_SECONDS, signingDate: new Date(signedAt) }).catch((cause: Error) => {
    throw new CredentialsUnavailable('AWS, to sign an IAM token', cause.name, 'Give the process a role or AWS credentials.', { cause })
  })
}
