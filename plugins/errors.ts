import type { Socket } from 'node:net'
import type { FastifyError, FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest, FastifyServerOptions } from 'fastify'
import fp from 'fastify-plugin'
import { AllowedMethods } from '../services/http/allowed-methods.ts'
import { clientErrorAnswer } from '../services/http/client-error.ts'
import { MethodNotAllowed, RouteNotFound } from '../services/http/errors.ts'
import { PROBLEM_TYPE, pathOf, toProblem } from '../services/http/problem.ts'
import type { ProblemAnswer } from '../services/http/problem.ts'
import { correlationId, requestId, validTraceparent } from '../services/http/request-context.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Of the caller, where it sent `x-correlation-id`; else the request's id. */
    correlationId: string
  }
}

/** Errors before routing never reach an error handler. Their own messages quote the whole URL, query string included. */
function frameworkErrors ({ code, statusCode }: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  const message = 'The path cannot be used: a part of it is too long, or is not UTF-8 in percent-encoding.'
  void reply.header('x-request-id', request.id).header('x-correlation-id', correlationId(request.headers['x-correlation-id'], request.id))
  sendProblem(reply, toProblem({ code, statusCode, message }, { url: request.url, requestId: request.id }))
}

/** What breaks before there is a request, such as one whose bytes do not arrive in time. */
function clientErrorHandler (this: FastifyInstance, err: NodeJS.ErrnoException, socket: Socket): void {
  if (err.code === 'ECONNRESET' || socket.destroyed) return
  this.log.debug({ err, remoteAddress: socket.remoteAddress }, 'no request')
  // One answer at most: with a part of another on its way, this would be read as its body.
  const answering = (socket as { _httpMessage?: { headersSent: boolean } })._httpMessage?.headersSent === true
  if (socket.writable && !answering) socket.write(clientErrorAnswer(err))
  socket.destroy(err)
}

/**
 * What only the server's constructor can be told: give these to `Fastify()` so that errors before routing look like all
 * others, and names as long as a registration allows fit into a URL.
 */
export const problemServerOptions = {
  frameworkErrors: frameworkErrors as NonNullable<FastifyServerOptions['frameworkErrors']>,
  clientErrorHandler: clientErrorHandler as NonNullable<FastifyServerOptions['clientErrorHandler']>,
  routerOptions: { maxParamLength: 255, ignoreTrailingSlash: true }
}

/**
 * Every error is `application/problem+json`; every answer carries `x-request-id` and `x-correlation-id`, the caller's where they are sane, and a valid `traceparent`.
 * Register it before any route, so that a wrong method on a known path is a 405.
 */
const plugin: FastifyPluginAsync = async (fastify) => {
  const allowed = new AllowedMethods()
  fastify.setGenReqId(request => requestId(request.headers['x-request-id']))
  fastify.addHook('onRoute', ({ url, method }) => { allowed.add(url, method) })
  fastify.decorateRequest('correlationId', '')
  fastify.addHook('onRequest', (request, reply, done) => {
    request.correlationId = correlationId(request.headers['x-correlation-id'], request.id)
    void reply.header('x-request-id', request.id).header('x-correlation-id', request.correlationId)
    const traceparent = validTraceparent(request.headers['traceparent'])
    if (traceparent !== undefined) void reply.header('traceparent', traceparent)
    done()
  })

  fastify.setErrorHandler((error: FastifyError, request, reply) => {
    const idempotencyKey = request.headers['idempotency-key'] !== undefined
    const answer = toProblem(error, { url: request.url, requestId: request.id, idempotencyKey })
    logFailure(request, error, answer.problem.status)
    sendProblem(reply, answer)
    return reply
  })

  fastify.setNotFoundHandler((request, reply) => {
    const methods = allowed.at(pathOf(request.url)).join(', ')
    if (methods !== '') void reply.header('allow', methods)
    const error = methods === '' ? new RouteNotFound() : new MethodNotAllowed(request.method, methods)
    sendProblem(reply, toProblem(error, { url: request.url, requestId: request.id }))
    return reply
  })
}

function sendProblem (reply: FastifyReply, { problem, retryAfterSeconds }: ProblemAnswer): void {
  // A plugin that sheds load has set its own Retry-After already.
  if (retryAfterSeconds !== null) void reply.header('retry-after', retryAfterSeconds)
  else if (problem.status === 503 && !reply.hasHeader('retry-after')) void reply.header('retry-after', 1)
  void reply.code(problem.status).header('cache-control', 'no-store').type(PROBLEM_TYPE).send(problem)
}

/** Refusals by design are counted and shown by health; only what nobody planned is an error in the log. */
function logFailure (request: FastifyRequest, err: FastifyError, status: number): void {
  const { correlationId, ip } = request
  if (status < 500) request.log.info({ err, correlationId, ip }, 'request refused')
  else if (status === 503) request.log.debug({ err, correlationId, ip }, 'request shed')
  else request.log.error({ err, correlationId, ip }, 'request failed')
}

export default fp(plugin, { name: 'breakwater-errors', fastify: '5.x' })
