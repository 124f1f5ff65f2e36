import { createHash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { chromium } from 'playwright-core'
import type { Browser, Page } from 'playwright-core'
import t from 'tap'
import type { Test } from 'tap'
import { buildApp } from '../../app.ts'
import operationsRoutes from '../../routes/ops/index.ts'
import { findOnPath } from '../../scripts/dev/surroundings.ts'
import { deadLetter } from '../../services/queue/dead-letter.ts'
import { startRedis } from '../helpers/redis-server.ts'
import type { RedisServer } from '../helpers/redis-server.ts'
import { temporaryDirectory } from '../helpers/temporary.ts'
import { until } from '../helpers/until.ts'

const QUEUE = 'hokusai:model_ready_queue'
const DLQ = `${QUEUE}:dlq`
const MARKUP = '<img src=x onerror="window.stolen = true">'
const keys = { reader: 'page-reader-key', admin: 'page-admin-key' }
const digest = (key: string) => createHash('sha256').update(key).digest('hex')
const API_KEYS = `page:read:${digest(keys.reader)},ops:admin:${digest(keys.admin)}`
/** Where pictures go; none are made without it. */
const { SCREENSHOTS: pictures } = process.env

const FLAGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'
]

async function launch (t: Test): Promise<Browser> {
  const executablePath = findOnPath('chromium', process.env)
  if (executablePath === null) throw new Error('this test needs a browser: apt-get install chromium')
  const browser = await chromium.launch({ executablePath, args: FLAGS })
  t.teardown(() => browser.close())
  return browser
}

interface Service {
  redis: RedisServer
  origin: string
  /** The status code. */
  register (model: string, version: number): Promise<number>
  stop (): Promise<void>
  /** Another process at the same address, with the same database. */
  startAgain (): Promise<void>
}

async function startService (t: Test, env: NodeJS.ProcessEnv = {}): Promise<Service> {
  const redis = await startRedis(t, { args: ['--appendonly', 'yes'] })
  const directory = await temporaryDirectory(t)
  const variables = { DATABASE_URL: `sqlite:${join(directory, 'store.db')}`, REDIS_URL: redis.url, REDIS_CONNECT_TIMEOUT_MS: '300', ...env }
  const begin = async (port: number) => {
    const app = await buildApp({ env: variables })
    if (!app.hasRoute({ method: 'GET', url: '/ops' })) await app.register(operationsRoutes, { env: variables })
    t.teardown(() => app.close())
    await app.listen({ port, host: '127.0.0.1' })
    await until(() => app.publisher.stats()?.leader === true && app.redisGuard?.isHealthy())
    return app
  }
  let app: FastifyInstance = await begin(0)
  const { port } = app.server.address() as AddressInfo
  const register = async (model: string, version: number) => {
    const payload = { model_name: model, version: String(version), token_id: 'hok-churn', metric_name: 'auc', baseline_value: 0.8 }
    return (await app.inject({ method: 'POST', url: '/models', payload, headers: { 'x-api-key': keys.admin } })).statusCode
  }
  return {
    redis,
    origin: `http://127.0.0.1:${port}`,
    register,
    stop: () => app.close(),
    startAgain: async () => { app = await begin(port) }
  }
}

interface Watched { page: Page, troubles: string[] }

/** A page on which nothing may go wrong: errors in the console, and requests to anybody else, are troubles. */
async function open (browser: Browser, origin: string, options: Parameters<Browser['newContext']>[0] = {}): Promise<Watched> {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options })
  const page = await context.newPage()
  page.setDefaultTimeout(20_000)
  const troubles: string[] = []
  page.on('request', (request) => {
    if (!request.url().startsWith(`${origin}/`)) troubles.push(`foreign request: ${request.url()}`)
    if (/key/i.test(request.url())) troubles.push(`a key in an address: ${request.url()}`)
  })
  page.on('pageerror', (err) => troubles.push(`exception: ${err.stack}`))
  page.on('console', (message) => { if (['error', 'warning'].includes(message.type())) troubles.push(`console: ${message.text()}`) })
  await page.goto(`${origin}/ops`)
  return { page, troubles }
}

const word = (page: Page) => page.locator('#state-word').textContent()
const tile = async (page: Page, label: string) => await page.locator('#tiles > div', { hasText: label }).locator('.value').textContent()
const inJournal = async (page: Page) => Number(await tile(page, 'Waiting in the journal'))

/** Registrations, one after the other, until they are stopped; their status codes. */
function startTraffic (t: Test, register: Service['register']): { stop (): Promise<number[]> } {
  const statuses: number[] = []
  const abort = new AbortController()
  const done = (async () => {
    while (!abort.signal.aborted && statuses.length < 5000) {
      statuses.push(await register('churn', statuses.length + 1))
      await delay(40)
    }
    return statuses
  })()
  const stop = async () => {
    abort.abort()
    return await done
  }
  t.teardown(stop)
  return { stop }
}

/** A picture should show more than an instant. */
async function lookAround (): Promise<void> {
  if (pictures !== undefined) await delay(12_000)
}

/** How far the page is wider than the screen; 0 is right. */
const overflow = (page: Page) => page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth') as Promise<number>

async function picture (page: Page, name: string): Promise<void> {
  if (pictures === undefined) return
  const directory = resolve(pictures)
  await mkdir(directory, { recursive: true })
  await page.screenshot({ path: join(directory, `ops-${name}.png`) })
}

t.test('R10.4 the page shows an outage, the backlog that grows, and the recovery', { timeout: 120_000 }, async t => {
  const browser = await launch(t)
  const { redis, origin, register, stop, startAgain } = await startService(t)
  const { page, troubles } = await open(browser, origin)
  await until(async () => await word(page) === 'Healthy')
  t.match(await page.locator('#state-since').textContent(), /since \d\d:\d\d:\d\d/)
  t.equal(await page.locator('#charts canvas').count(), 6, 'every chart is drawn')
  t.equal(await tile(page, 'Circuit breaker'), 'closed')
  t.match(await page.locator('#configuration').textContent(), /REDIS_URL/)
  const traffic = startTraffic(t, register)
  await until(async () => Number.parseFloat(await tile(page, 'Relayed') ?? '') > 0)
  await lookAround()

  await redis.kill()
  await until(async () => await word(page) === 'Degraded')
  t.match(await page.locator('#state-reason').textContent(), /redis failed/)
  const seen: number[] = []
  await until(async () => {
    const waiting = await inJournal(page)
    if (waiting > (seen.at(-1) ?? 0)) seen.push(waiting)
    return seen.length === 3
  })
  await lookAround()
  t.not(await tile(page, 'Circuit breaker'), 'closed')
  t.match(await page.locator('#breaker-changes-table').textContent(), /open/)
  t.ok(await page.locator('.strip [data-state="open"]').count() > 0, 'the timeline has the outage')
  await picture(page, 'outage')

  await redis.restart()
  await until(async () => await word(page) === 'Healthy' && await inJournal(page) === 0)
  await lookAround()
  t.equal(await tile(page, 'Circuit breaker'), 'closed')
  await picture(page, 'recovered')
  const statuses = await traffic.stop()
  t.ok(statuses.every((status) => status === 201), 'every registration was accepted, all the time')
  await until(async () => await redis.cli('llen', QUEUE) === statuses.length)
  await until(async () => await tile(page, 'Waiting in the queue') === statuses.length.toLocaleString('en'))

  await stop()
  await until(async () => await page.locator('#banner').isVisible())
  t.match(await page.locator('#banner').textContent(), /No connection.*What is shown is from/)
  await startAgain()
  await until(async () => await page.locator('#banner').isHidden() && await word(page) === 'Healthy')
  // A service that is gone cannot be reached, and the browser says so by itself.
  t.strictSame(troubles.filter((trouble) => !/ERR_(CONNECTION_REFUSED|CONNECTION_RESET|INCOMPLETE_CHUNKED_ENCODING)/.test(trouble)), [])
})

t.test('R10.4 dead letters are shown as text, replayed and purged, with a key that may', { timeout: 120_000 }, async t => {
  const browser = await launch(t)
  const { redis, origin } = await startService(t, { API_KEYS })
  const body = (model: string) => JSON.stringify({
    message_id: model, message_type: 'model_ready_to_deploy', payload: { model_name: model }, timestamp: '2026-11-21T10:18:32.840000', retry_count: 0, max_retries: 3
  })
  for (const model of ['scorer', 'ranker', MARKUP]) {
    await redis.cli('lpush', DLQ, deadLetter(Buffer.from(body(model)), `Error: refused ${MARKUP}`, QUEUE).toString())
  }
  const { page, troubles } = await open(browser, origin)
  const key = async (value: string) => {
    await page.locator('#key-dialog[open]').waitFor()
    t.equal(await page.evaluate('document.activeElement.id'), 'key-input', 'the focus is in the dialog')
    await page.locator('#key-input').fill(value)
    await page.keyboard.press('Enter')
  }
  await page.locator('#key-dialog[open]').waitFor()
  await page.keyboard.press('Escape')
  await page.locator('#banner', { hasText: 'An API key with the scope "read" is needed' }).waitFor()
  await page.getByRole('button', { name: 'API key…' }).click()
  await key('wrong')
  await key(keys.reader)
  const row = (name: string) => page.locator('#letters tbody tr').filter({ has: page.getByText(name, { exact: true }) })
  await row(MARKUP).waitFor()
  t.equal(await page.locator('#letters tbody tr').count(), 3)
  t.equal(await page.locator('#letters img, dialog img').count(), 0, 'a name is text')

  await page.getByRole('button', { name: `Show ${MARKUP}` }).click()
  await page.locator('#letter-payload', { hasText: 'message_id' }).waitFor()
  t.equal(await page.locator('#letter-payload').textContent(), JSON.stringify(JSON.parse(body(MARKUP)), null, 2))
  t.match(await page.locator('#letter-facts').textContent(), `Error: refused ${MARKUP}`)
  for (let count = 0; count < 6; count++) {
    await page.keyboard.press('Tab')
    // Between the last control and the first one the focus is the browser's.
    t.ok(await page.evaluate('document.activeElement === document.body || document.activeElement.closest("dialog") !== null'), 'the focus stays in the dialog')
  }
  await page.keyboard.press('Escape')
  t.equal(await page.evaluate('document.activeElement.getAttribute("aria-label")'), `Show ${MARKUP}`, 'the focus comes back')
  t.equal(await page.evaluate('window.stolen'), undefined, 'nothing of it ran')

  await page.getByRole('button', { name: 'Replay scorer' }).click()
  await page.locator('#confirm-yes').click()
  await page.locator('#key-dialog[open]').waitFor()
  t.match(await page.locator('#letters-message').textContent(), /Not allowed.*API key with the scope/, 'a 403 says so')
  t.equal(await redis.cli('llen', DLQ), 3)
  await key(keys.admin)

  await page.getByRole('button', { name: 'Replay scorer' }).click()
  await page.locator('#confirm-yes').click()
  await page.getByText('1 replayed.').waitFor()
  t.strictSame(await redis.cli('lrange', QUEUE, 0, -1), [body('scorer')])
  await row('scorer').waitFor({ state: 'detached' })

  await page.getByLabel(`Select ${MARKUP}`).check()
  await page.getByRole('button', { name: 'Replay selected' }).click()
  await page.locator('#confirm-yes').click()
  await until(async () => await redis.cli('llen', QUEUE) === 2)

  await page.getByRole('button', { name: 'Purge all' }).click()
  t.ok(await page.locator('#confirm-yes').isDisabled(), 'the name of the queue has to be written')
  await page.locator('#confirm-input').fill(QUEUE)
  await page.locator('#confirm-yes').click()
  await page.getByText('There are no dead letters.').waitFor()
  t.equal(await redis.cli('llen', DLQ), 0)
  t.equal(await redis.cli('llen', QUEUE), 2)

  const stored = await page.evaluate('JSON.stringify([document.cookie, { ...localStorage }, location.href])') as string
  for (const secret of Object.values(keys)) t.notMatch(stored, secret, 'the key is in the tab only')
  t.strictSame(troubles.filter((trouble) => !/status of 40[13]/.test(trouble)), [])
})

t.test('R10.4 on a phone, in the dark, by keyboard, and without motion', { timeout: 120_000 }, async t => {
  const browser = await launch(t)
  const { redis, origin, register } = await startService(t)
  const long = 'a-model-with-a-name-that-has-no-place-to-break-'.repeat(3)
  await redis.cli('lpush', DLQ, deadLetter(Buffer.from(JSON.stringify({ message_id: long, payload: { model_name: long } })), `Error: ${long}`, QUEUE).toString())
  await register('churn', 1)
  const phone = { viewport: { width: 360, height: 740 }, deviceScaleFactor: 1, hasTouch: true, isMobile: true, colorScheme: 'dark', reducedMotion: 'reduce' } as const
  const { page, troubles } = await open(browser, origin, phone)
  await until(async () => await word(page) === 'Healthy')
  await page.keyboard.press('Tab')
  t.equal(await page.evaluate('document.activeElement.className'), 'skip', 'the first stop leads past the head')
  await page.keyboard.press('Tab')
  t.equal(await page.evaluate('document.activeElement.id'), 'change-key')
  t.equal(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle'), 'solid', 'the focus can be seen')
  await page.locator('#letters tbody tr').waitFor()
  for (const summary of await page.locator('#configuration summary').all()) await summary.click()
  t.equal(await overflow(page), 0, 'nothing is wider than 360 px')
  await page.getByRole('button', { name: /^Show / }).click()
  t.equal(await overflow(page), 0, 'with a dialog')
  await page.keyboard.press('Escape')

  const background = () => page.evaluate('getComputedStyle(document.body).backgroundColor') as Promise<string>
  const dark = await background()
  await page.emulateMedia({ colorScheme: 'light' })
  t.not(await background(), dark, 'light and dark differ')
  await page.emulateMedia({ colorScheme: 'dark' })
  await page.evaluate('window.scrollTo(0, 0)')
  await until(async () => await tile(page, 'Dead letters') === '1')
  await picture(page, 'phone')
  const unnamed = await page.evaluate(`[...document.querySelectorAll('button, input, select')]
    .filter((node) => !node.textContent.trim() && !node.getAttribute('aria-label') && !node.labels?.length).length`)
  t.equal(unnamed, 0, 'every control has a name')
  t.equal(await page.locator('table:not(:has(th[scope=col]))').count(), 0, 'every table has headings')
  t.equal(await page.locator('#state [role=status]').count(), 1, 'changes of the state are read aloud')
  t.strictSame(troubles, [])
})
