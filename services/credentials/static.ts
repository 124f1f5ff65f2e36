import type { Secret } from '../config/secret.ts'
import type { CredentialProvider } from './provider.ts'

/** What the configuration states. */
export function staticCredentials (password: Secret, username: string | null = null): CredentialProvider {
  const credentials = { username, password }
  return { name: 'token', fetch: async () => credentials }
}
