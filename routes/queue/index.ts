import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import type {} from '../../plugins/auth.ts'
import type {} from '../../plugins/config.ts'
import type {} from '../../plugins/publisher.ts'
import type {} from '../../plugins/redis.ts'
import type {} from '../../plugins/store.ts'
import {
  DeadLetterCursorInvalid, DeadLetterNotFound, DeadLetterNotReplayable, DeadLettersUnavailable, PurgeUnconfirmed
} from '../../services/administration/errors.ts'
import type { LetterFilter } from '../../services/administration/filter.ts'
import type { LetterResult } from '../../services/administration/outcome.ts'
import { QueueAdministration } from '../../services/administration/queue-administration.ts'
import { responses } from '../../services/http/contract/problems.ts'
import { requestValidator } from '../../services/http/validation.ts'
import { DeadLetter, DeadLetterPage, IdParams, ListQuery, QueueOverview, SelectionRequest, SettledBatch, SettledLetter } from './schemas.ts'
import { readSelection } from './selection.ts'

const MAX_BODY_BYTES = 512 * 1024
/** Of each part of an answer; the guard's own deadline is usually shorter. */
const TIMEOUT_MS = 2000
const tags = ['queue']
/** A replay makes consumers work again, and a purge is for good. Looking needs no more than other reads. */
const config = { scope: 'admin' } as const
const limits = { config, bodyLimit: MAX_BODY_BYTES, attachValidation: true }
const unavailable = new DeadLettersUnavailable('Redis does not answer')
const batch = { tags, body: SelectionRequest }
const one = { tags, params: IdParams }

/** The queue and its dead letters, for operators. */
const routes: FastifyPluginAsyncTypebox = async (fastify) => {
  const queueName = fastify.hasDecorator('config') ? fastify.config.publisher.queueName : 'hokusai:model_ready_queue'
  const administration = administrationOf(fastify, queueName)

  fastify.setValidatorCompiler(requestValidator)
  fastify.removeContentTypeParser('text/plain')

  fastify.get('/queue', {
    schema: { operationId: 'getQueue', tags, summary: 'Depths of the queue, its dead letters, the journal and the relay', response: responses({ 200: QueueOverview }) }
  }, async () => ({ ...await administration.overview(), relay: relayOf(fastify) }))

  fastify.get('/queue/dead-letters', {
    schema: { operationId: 'listDeadLetters', tags, summary: 'Dead letters of both sides, newest first', querystring: ListQuery, response: responses({ 200: DeadLetterPage }, new DeadLetterCursorInvalid(), unavailable) }
  }, async (request) => await administration.list(request.query as LetterFilter & typeof request.query))

  fastify.get('/queue/dead-letters/:id', {
    schema: { operationId: 'getDeadLetter', tags, summary: 'One dead letter, with the message', params: IdParams, response: responses({ 200: DeadLetter }, new DeadLetterNotFound(), unavailable) }
  }, async (request) => await administration.find(request.params.id))

  fastify.post('/queue/dead-letters/:id/replay', {
    config,
    schema: {
      ...one,
      operationId: 'replayDeadLetter',
      summary: 'Queue one message again',
      response: responses({ 200: SettledLetter }, new DeadLetterNotFound(), new DeadLetterNotReplayable(), unavailable)
    }
  }, async ({ params: { id } }) =>
    settled((await administration.replay({ ids: [id] })).results[0]))

  fastify.delete('/queue/dead-letters/:id', {
    config,
    schema: {
      ...one,
      operationId: 'purgeDeadLetter',
      summary: 'Delete one dead letter for good',
      response: responses({ 200: SettledLetter }, new DeadLetterNotFound(), unavailable)
    }
  }, async ({ params: { id } }) =>
    settled((await administration.purge({ ids: [id] })).results[0]))

  fastify.post('/queue/dead-letters/replay', {
    ...limits,
    schema: {
      ...batch,
      operationId: 'replayDeadLetters',
      summary: 'Queue messages again: by ids, by a filter, or all',
      response: responses({ 200: SettledBatch }, new DeadLetterCursorInvalid(), unavailable)
    }
  }, async (request) => await administration.replay(readSelection(request)))

  fastify.post('/queue/dead-letters/purge', {
    ...limits,
    schema: {
      ...batch,
      operationId: 'purgeDeadLetters',
      summary: 'Delete dead letters for good: by ids, by a filter, or all',
      response: responses({ 200: SettledBatch }, new DeadLetterCursorInvalid(), new PurgeUnconfirmed(queueName), unavailable)
    }
  }, async (request) => {
    const selection = readSelection(request)
    if ('all' in selection && request.body.confirm !== queueName) throw new PurgeUnconfirmed(queueName)
    return await administration.purge(selection)
  })
}

function administrationOf (fastify: FastifyInstance, queueName: string): QueueAdministration {
  const redis = fastify.hasDecorator('redis') ? fastify.redis : null
  const settings = fastify.hasDecorator('config') ? fastify.config : null
  return new QueueAdministration({
    queueName,
    journal: fastify.store.journal,
    redis,
    cluster: settings?.redis.resolution.target?.topology === 'cluster' || redis?.isCluster === true,
    transport: settings?.publisher.transport ?? 'list',
    timeoutMs: TIMEOUT_MS,
    logger: fastify.log.child({ component: 'administration' })
  })
}

/** One letter either is settled, or the answer says by its status why not. */
function settled (result: LetterResult | undefined): LetterResult {
  switch (result?.outcome) {
    case 'replayed':
    case 'purged': return result
    case 'not_replayable': throw new DeadLetterNotReplayable()
    case 'failed': throw new DeadLettersUnavailable(result.reason ?? 'unknown')
    default: throw new DeadLetterNotFound()
  }
}

/** JSON of this service is snake_case. */
function relayOf (fastify: FastifyInstance): Record<string, unknown> | null {
  const stats = fastify.hasDecorator('publisher') ? fastify.publisher.stats() : null
  if (stats === null) return null
  return Object.fromEntries(Object.entries(stats).map(([name, value]) => [name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), value]))
}

export default routes
