import type { OutgoingHttpHeaders } from 'node:http'
import { Type } from '@sinclair/typebox'
import type { FastifyInstance, FastifyPluginAsync, FastifyReply } from 'fastify'
import type {} from '../../plugins/auth.ts'
import type {} from '../../plugins/config.ts'
import type {} from '../../plugins/health.ts'
import type {} from '../../plugins/publisher.ts'
import type {} from '../../plugins/redis.ts'
import type {} from '../../plugins/store.ts'
import { parsePluginOptions } from '../../plugins/options.ts'
import { headers } from '../../services/http/contract/headers.ts'
import { responses } from '../../services/http/contract/problems.ts'
import { showConfiguration } from '../../services/operations/configuration.ts'
import { StreamRefused } from '../../services/operations/errors.ts'
import { EventFeed, serverSentEvent } from '../../services/operations/event-feed.ts'
import { History } from '../../services/operations/history.ts'
import type { OperationsSources } from '../../services/operations/sources.ts'
import { OperationsDesk } from '../../services/operations/state.ts'
import { isCurrent, readAssets } from './assets.ts'
import type { Asset } from './assets.ts'

const OperationsOptionsSchema = Type.Object({
  env: Type.Object({}, { description: 'The variables that the configuration was read from. Default: `process.env`.' }),
  intervalMs: Type.Integer({ minimum: 50, description: 'Between two samples. Default 2000.' }),
  maxReaders: Type.Integer({ minimum: 1, description: 'Pages that are served live at once. Default 20.' })
}, { additionalProperties: false })

export interface OperationsOptions { env?: NodeJS.ProcessEnv, intervalMs?: number, maxReaders?: number }

/** Only what this service serves itself, and nothing inline: a name that got into the page as markup could still do nothing. */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'",
  "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"
].join('; ')

/** No proxy may collect the events, and no connection outlives them. */
const EVENT_STREAM_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store, no-transform',
  'x-accel-buffering': 'no',
  connection: 'close'
}

/** The page has to open when nothing else does: neither load shedding nor a rate limit counts its files. */
const exempt = { pressureHandler: () => {}, otel: false } as const
const tags = ['operation']

/** The operations page: `/ops` and its files, `/ops/state`, `/ops/events`. It reads what is known and does no I/O. */
const routes: FastifyPluginAsync<OperationsOptions> = async (fastify, options) => {
  const given = parsePluginOptions('operations', OperationsOptionsSchema, options) as OperationsOptions
  const sources = findSources(fastify)
  const history = new History({ sources, intervalMs: given.intervalMs })
  const feed = new EventFeed({ maxReaders: given.maxReaders })
  const config = fastify.hasDecorator('config') ? fastify.config : null
  const desk = new OperationsDesk({
    sources,
    history,
    configuration: showConfiguration(given.env ?? process.env, config?.redis.resolution ?? null),
    queueName: config?.publisher.queueName ?? 'hokusai:model_ready_queue'
  })
  for (const asset of readAssets()) serveAsset(fastify, asset)

  fastify.get('/ops/state', {
    logLevel: 'warn',
    config: { ...exempt, scope: 'read' },
    schema: {
      tags,
      operationId: 'getOperationsState',
      summary: 'What the operations page shows, with the last half hour',
      response: responses({ 200: Type.Object({}, { additionalProperties: true, description: 'See docs/operations-page.md.', headers: headers('cache-control') }) })
    }
  }, async (_request, reply) => {
    void reply.header('cache-control', 'no-store').type('application/json; charset=utf-8').serializer(JSON.stringify)
    return desk.state()
  })

  fastify.get('/ops/events', {
    logLevel: 'warn',
    exposeHeadRoute: false,
    config: { ...exempt, scope: 'read' },
    schema: {
      tags,
      operationId: 'followOperations',
      summary: 'The same as server-sent events: the state, then a sample every two seconds',
      produces: ['text/event-stream'],
      response: responses({ 200: Type.String({ description: 'Events `state` and `sample`; see docs/operations-page.md.', headers: headers('cache-control') }) }, new StreamRefused('all are taken'))
    }
  }, async (_request, reply) => {
    feed.assertRoom()
    // Straight onto the response: so the feed sees how far a reader lags behind, and can cut it off.
    reply.hijack()
    // Between two samples nothing passes, however short the server's limits are. A reader that lags behind is the feed's to cut off.
    reply.raw.socket?.setTimeout(0)
    reply.raw.writeHead(200, { ...definedHeaders(reply), ...EVENT_STREAM_HEADERS })
    reply.raw.write(serverSentEvent('state', desk.state()))
    feed.add(reply.raw)
  })

  history.onSample((sample) => {
    feed.send('sample', desk.update(sample))
    // Whoever looks on should find the next process, not hold up the end of this one.
    if (sources.health().reason === 'draining') feed.close()
  })
  history.start()
  // A server that closes waits for its open answers; these would never end by themselves.
  fastify.addHook('preClose', async () => { feed.close() })
  fastify.addHook('onClose', async () => {
    history.stop()
    feed.close()
  })
}

function definedHeaders (reply: FastifyReply): OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(reply.getHeaders()).filter(([, value]) => value !== undefined))
}

function serveAsset (fastify: FastifyInstance, { url, type, body, etag, cacheControl }: Asset): void {
  fastify.get(url, {
    logLevel: 'warn',
    config: { ...exempt, rateLimit: false, scope: 'public' },
    schema: { hide: true }
  }, async (request, reply) => {
    void reply.headers({ 'content-security-policy': CONTENT_SECURITY_POLICY, 'cache-control': cacheControl, etag })
    if (isCurrent(request.headers['if-none-match'], etag)) return await reply.code(304).send()
    return await reply.type(type).send(body)
  })
}

/** The page shows what is there: each of these plugins may be missing. */
function findSources (fastify: FastifyInstance): OperationsSources {
  return {
    health: () => fastify.health.snapshot(),
    journal: fastify.hasDecorator('store') ? () => fastify.store.stats() : null,
    relay: fastify.hasDecorator('publisher') ? () => fastify.publisher.stats() : null,
    redis: fastify.hasDecorator('redisGuard') ? fastify.redisGuard : null
  }
}

export default routes
