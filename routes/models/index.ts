import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import type {} from '../../plugins/errors.ts'
import type {} from '../../plugins/store.ts'
import type {} from '../../plugins/tracing.ts'
import { responses } from '../../services/http/contract/problems.ts'
import { ModelNotFound } from '../../services/http/errors.ts'
import { JournalFull, StoreUnavailable } from '../../services/journal/errors.ts'
import { CursorInvalid, IdempotencyKeyReused, ModelExists } from '../../services/registry/errors.ts'
import { registrationProblems } from '../../services/registry/registration-rules.ts'
import type { NewModel } from '../../services/registry/registry.ts'
import { validTraceparent } from '../../services/http/request-context.ts'
import { requestInvalid, requestValidator } from '../../services/http/validation.ts'
import type { RequestError } from '../../services/http/validation.ts'
import {
  ListQuery, NameParams, PageQuery, Registration, RegistrationHeaders, RegistrationRequest, StoredModel, StoredModelPage,
  VersionParams
} from './schemas.ts'

const MAX_BODY_BYTES = 256 * 1024
const storeErrors = [new StoreUnavailable('it does not answer')]

const routes: FastifyPluginAsyncTypebox = async (fastify) => {
  const { registry } = fastify.store

  fastify.setValidatorCompiler(requestValidator)
  // Fastify parses text/plain into a string by default; here it is an unsupported media type.
  fastify.removeContentTypeParser('text/plain')

  fastify.post('/models', {
    bodyLimit: MAX_BODY_BYTES,
    attachValidation: true,
    schema: {
      operationId: 'registerModel',
      tags: ['models'],
      summary: 'Register a model version and announce it, in one transaction',
      body: RegistrationRequest,
      headers: RegistrationHeaders,
      response: responses({ 201: Registration }, new ModelExists('sales-lead-scorer', '3'), new IdempotencyKeyReused(), new JournalFull(1, 1), ...storeErrors)
    }
  }, async (request, reply) => {
    refuseInvalid(request)
    const { outcome, model, event } = await registry.register(request.body as NewModel, {
      correlationId: request.correlationId,
      idempotencyKey: request.headers['idempotency-key'],
      // Of this request's own span, so that what follows hangs below it; without tracing, of the caller's.
      traceparent: fastify.tracing?.traceparentOf(request) ?? validTraceparent(request.headers['traceparent'])
    })
    if (outcome === 'replayed') void reply.header('idempotency-replayed', 'true')
    void reply.code(201).header('location', locationOf(model.model_name, model.version))
    return { model_id: model.model_id, model_name: model.model_name, version: model.version, event }
  })

  fastify.get('/models', {
    schema: {
      operationId: 'listModels',
      tags: ['models'],
      summary: 'Models, newest first',
      querystring: ListQuery,
      response: responses({ 200: StoredModelPage }, new CursorInvalid(), ...storeErrors)
    }
  }, async (request) => await registry.list(request.query))

  fastify.get('/models/:name', {
    schema: {
      operationId: 'listVersions',
      tags: ['models'],
      summary: 'Versions of one model, newest first',
      params: NameParams,
      querystring: PageQuery,
      response: responses({ 200: StoredModelPage }, new CursorInvalid(), new ModelNotFound(), ...storeErrors)
    }
  }, async (request) => {
    const page = await registry.versions(request.params.name, request.query)
    if (page.items.length === 0 && request.query.cursor === undefined) throw new ModelNotFound()
    return page
  })

  fastify.get('/models/:name/versions/:version', {
    schema: {
      operationId: 'getModel',
      tags: ['models'],
      summary: 'One model',
      params: VersionParams,
      response: responses({ 200: StoredModel }, new ModelNotFound(), ...storeErrors)
    }
  }, async (request) => {
    const model = await registry.find(request.params.name, request.params.version)
    if (model === null) throw new ModelNotFound()
    return model
  })
}

const checkHeaders = requestValidator({ schema: RegistrationHeaders, httpPart: 'headers' })

/** Fastify stops at the first part of a request that is wrong; this reports all parts, and the rules beyond the schema. */
function refuseInvalid ({ body, headers, validationError }: FastifyRequest): void {
  const beyondSchema = registrationProblems(body)
  if (validationError === undefined && beyondSchema.length === 0) return
  const checkedHeaders = checkHeaders(headers)
  const problems = [
    ...(validationError as RequestError | undefined)?.problems ?? [],
    ...beyondSchema,
    ...'error' in checkedHeaders ? checkedHeaders.error.problems : []
  ]
  const places = problems.map(({ in: part, path }) => `${part} ${path}`)
  throw requestInvalid(problems.filter((_, index) => places.indexOf(places[index]!) === index))
}

function locationOf (name: string, version: string): string {
  return `/models/${encodeURIComponent(name)}/versions/${encodeURIComponent(version)}`
}

export default routes
