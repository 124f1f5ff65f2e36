import { maskUrl, quote } from './masking.ts'
import type { Problems } from './problems.ts'
import { Secret } from './secret.ts'

export interface DatabaseTarget {
  kind: 'sqlite' | 'postgres'
  /** Safe to show: credentials are masked. */
  url: string
  /** The URL as it was given, for the one who connects. */
  connection: Secret
  /** File of an SQLite database, or `:memory:`; empty for PostgreSQL. */
  path: string
}

export function readDatabaseUrl (url: string, problems: Problems): DatabaseTarget {
  const path = sqlitePath(url)
  if (path !== null) return { kind: 'sqlite', url, connection: new Secret(url), path }
  if (!/^postgres(?:ql)?:\/\/[^/]/i.test(url)) {
    problems.add('FST_BRK_CONFIG_DATABASE_URL', 'DATABASE_URL', `DATABASE_URL is ${quote(maskUrl(url))}, which has none of the known forms.`)
  }
  return { kind: 'postgres', url: maskUrl(url), connection: new Secret(url), path: '' }
}

function sqlitePath (url: string): string | null {
  const [, path = ''] = /^sqlite:(?:\/\/)?(.+)$/is.exec(url) ?? []
  return path === '' ? null : path
}
