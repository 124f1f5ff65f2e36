import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { Secret } from '../../../services/config/secret.ts'
import { CredentialStore } from '../../../services/credentials/credential-store.ts'
import type { CredentialStoreOptions } from '../../../services/credentials/credential-store.ts'
import type { CredentialProvider, Credentials } from '../../../services/credentials/provider.ts'
import { staticCredentials } from '../../../services/credentials/static.ts'
import { memoryLogger } from '../../helpers/memory-logger.ts'
import type { Teardown } from '../../helpers/redis-server.ts'
import { until } from '../../helpers/until.ts'

const CANARY = 'canary-token-6f1c'

/** A source that a test turns on and off. */
class Source implements CredentialProvider {
  readonly name = 'test source'
  fetches = 0
  password = 'first'
  expiresInMs: number | undefined
  perConnection = false
  state: 'well' | 'failing' | 'hanging' = 'well'
  signals: AbortSignal[] = []

  async fetch (signal: AbortSignal): Promise<Credentials> {
    this.fetches++
    this.signals.push(signal)
    if (this.state === 'failing') throw new Error('the source is down')
    if (this.state === 'hanging') return await new Promise<never>(() => {})
    const password = new Secret(this.perConnection ? `${this.password}-${this.fetches}` : this.password)
    return { password, ...this.expiresInMs === undefined ? {} : { expiresAt: Date.now() + this.expiresInMs } }
  }
}

function store (t: Teardown, provider: CredentialProvider, options: Partial<CredentialStoreOptions> = {}): CredentialStore {
  const made = new CredentialStore({ provider, minimumIntervalMs: 20, timeoutMs: 100, random: () => 0.5, ...options })
  t.teardown(() => made.close())
  return made
}

const passwordOf = (credentials: Credentials | null) => credentials?.password.reveal()

t.test('R2.1 what the configuration states is at hand at once, and never asked for twice in vain', async t => {
  const credentials = store(t, staticCredentials(new Secret(CANARY), 'someone'))
  let changes = 0
  credentials.onChange(() => { changes++ })
  await until(() => credentials.current !== null)
  t.match(credentials.current, { username: 'someone' })
  t.equal(passwordOf(credentials.take()), CANARY)
  t.equal(changes, 1)
})

t.test('R2.2 a refusal fetches once, however many connections are refused; a new value is told, the old one is not', async t => {
  const source = new Source()
  const credentials = store(t, source)
  await until(() => credentials.current !== null)
  let changes = 0
  credentials.onChange(() => { changes++ })
  source.password = 'second'
  for (let connection = 0; connection < 50; connection++) credentials.refused()
  await until(() => passwordOf(credentials.current) === 'second')
  t.equal(source.fetches, 2)
  t.equal(changes, 1)
  credentials.refused()
  await until(() => source.fetches === 3)
  t.equal(changes, 1, 'the same value again is no news')
})

t.test('R2.2 the source is asked ever more rarely while its answer does not help', async t => {
  const source = new Source()
  const credentials = store(t, source, { refreshMs: 400 })
  await until(() => credentials.current !== null)
  const stop = performance.now() + 700
  while (performance.now() < stop) {
    credentials.refused()
    await delay(1)
  }
  t.ok(source.fetches >= 4, `${source.fetches} fetches`)
  t.ok(source.fetches <= 8, 'at 20 ms at first, then 40, 80…, not 700 times')
})

t.test('R2.1 through the outage of its source the known credentials stay in use; one line at each end', async t => {
  const source = new Source()
  const logger = memoryLogger()
  const credentials = store(t, source, { logger, refreshMs: 40 })
  await until(() => credentials.current !== null)
  let failures = 0
  credentials.onFailure(() => { failures++ })
  source.state = 'failing'
  await until(() => failures >= 3)
  t.equal(passwordOf(credentials.take()), 'first')
  source.state = 'well'
  source.password = 'second'
  await until(() => passwordOf(credentials.current) === 'second')
  t.strictSame(logger.lines.map(({ level, message }) => `${level} ${message}`), [
    'warn the Redis credentials cannot be fetched; the known ones are used meanwhile',
    'info the Redis credentials can be fetched again'
  ])
})

t.test('a source that never answers is given up after the deadline, and its signal aborts', async t => {
  const source = new Source()
  source.state = 'hanging'
  const credentials = store(t, source)
  const errors: Error[] = []
  credentials.onFailure((error) => { errors.push(error) })
  await until(() => errors.length > 0)
  t.match(errors[0], { code: 'FST_BRK_CREDENTIALS_UNAVAILABLE', message: /test source: no answer within 100 ms/ })
  t.ok(source.signals[0]!.aborted)
  t.equal(credentials.take(), null)
  source.state = 'well'
  await until(() => credentials.current !== null)
})

t.test('R2.3 each connection gets credentials of its own, fetched ahead, and replaced before they expire', async t => {
  const source = new Source()
  source.perConnection = true
  source.expiresInMs = 100
  const credentials = store(t, source)
  await until(() => credentials.current !== null)
  const first = passwordOf(credentials.take())
  await until(() => passwordOf(credentials.current) !== first)
  t.not(passwordOf(credentials.take()), first)
  const { fetches } = source
  await until(() => source.fetches > fetches + 1)
  t.ok(credentials.current!.expiresAt! > Date.now(), 'nobody connects, and yet the next token is a valid one')
})

t.test('closed: no timer, no fetch, and what was on its way is nobody\'s', async t => {
  const source = new Source()
  const credentials = store(t, source, { refreshMs: 5, minimumIntervalMs: 1 })
  await until(() => credentials.current !== null)
  source.state = 'hanging'
  await until(() => source.signals.some(({ aborted }) => !aborted) && source.fetches > 2)
  credentials.close()
  const { fetches } = source
  credentials.refused()
  t.ok(source.signals.at(-1)!.aborted)
  await delay(30)
  t.equal(source.fetches, fetches)
})
