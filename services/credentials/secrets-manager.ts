import type { SecretsManagerClient } from '@aws-sdk/client-secrets-manager'
import { Secret } from '../config/secret.ts'
import { loadPeer } from '../peers/load-peer.ts'
import { CredentialsUnavailable, SecretMalformed } from './errors.ts'
import type { CredentialProvider, Credentials } from './provider.ts'

export interface SecretOptions {
  /** ARN or name. The region of an ARN wins over the environment's. */
  secretId: string
  /** Field of a JSON secret that holds the token; a field `username` beside it names the user. Absent: the secret is the bare token. */
  field?: string | undefined
  /** How often to look for a new value while Redis accepts the old one, in ms. Default 300,000. */
  refreshMs?: number | undefined
}

/** Attempts of the SDK within one fetch; the deadline of the fetch bounds them all. */
const ATTEMPTS = 3

/**
 * Reads the token from AWS Secrets Manager with the official SDK: regions, credentials, endpoint (`AWS_ENDPOINT_URL_SECRETS_MANAGER`) and
 * retries of throttled calls are its business. Needs `secretsmanager:GetSecretValue` on the secret, and `kms:Decrypt` where it has a key of its own.
 *
 * @throws FST_BRK_PEER_MISSING, FST_BRK_CREDENTIALS_UNAVAILABLE, FST_BRK_SECRET_MALFORMED from `fetch`
 */
export function secretsManager ({ secretId, field, refreshMs }: SecretOptions): CredentialProvider {
  let client: Promise<SecretsManagerClient> | null = null
  return {
    name: 'secret',
    refreshMs,
    async fetch (signal) {
      const { GetSecretValueCommand } = await loadSdk()
      const connected = await (client ??= makeClient(secretId))
      const answer = await connected.send(new GetSecretValueCommand({ SecretId: secretId }), { abortSignal: signal }).catch((cause: Error) => {
        throw new CredentialsUnavailable(`Secrets Manager, "${secretId}"`, cause.name, remedies[cause.name] ?? 'The cause says more.', { cause })
      })
      return read(secretId, answer.SecretString, field)
    }
  }
}

const remedies: Readonly<Record<string, string>> = {
  AccessDeniedException: 'Allow secretsmanager:GetSecretValue on this secret to the role of the task.',
  ResourceNotFoundException: 'Correct REDIS_AUTH_SECRET_ARN.',
  DecryptionFailure: 'Allow kms:Decrypt on the key of the secret to the role of the task.',
  CredentialsProviderError: 'Give the process a role or AWS credentials.',
  ThrottlingException: 'Too many callers read secrets at once; it passes.'
}

async function loadSdk () {
  return await loadPeer('@aws-sdk/client-secrets-manager', 'REDIS_AUTH_SECRET_ARN', () => import('@aws-sdk/client-secrets-manager'))
}

async function makeClient (secretId: string): Promise<SecretsManagerClient> {
  const { SecretsManagerClient } = await loadSdk()
  const [prefix, , , region] = secretId.split(':')
  return new SecretsManagerClient({ maxAttempts: ATTEMPTS, ...prefix === 'arn' ? { region: region! } : {} })
}

/** What is wrong is said without a word of what the secret holds. */
function read (secretId: string, text: string | undefined, field: string | undefined): Credentials {
  if (text === undefined || text.trim() === '') throw new SecretMalformed(secretId, 'it has no text')
  const json = parse(text)
  if (field === undefined) {
    if (json !== null) throw new SecretMalformed(secretId, 'it is JSON, and REDIS_AUTH_SECRET_KEY does not say which field is the token')
    return { password: new Secret(text.trim()) }
  }
  if (json === null) throw new SecretMalformed(secretId, 'it is not a JSON object')
  const { [field]: token, username } = json
  if (typeof token !== 'string' || token === '') throw new SecretMalformed(secretId, `it has no text in the field "${field}"`)
  return { password: new Secret(token), username: typeof username === 'string' && username !== '' ? username : null }
}

function parse (text: string): Record<string, unknown> | null {
  try {
    const json: unknown = JSON.parse(text)
    return typeof json === 'object' && json !== null && !Array.isArray(json) ? json as Record<string, unknown> : null
  } catch {
    return null
  }
}
