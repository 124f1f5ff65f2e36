import type { FastifyInstance } from 'fastify'
import type { ApiContract } from './api-contract.ts'
import type { GeneratedClient } from './generated-client.ts'
import type { Answer, ModelCalls } from './model-api.ts'

/** A generated client of this service. Paths are the caller's to encode: the generator leaves them as they are. */
export function connectClient ({ Api }: GeneratedClient, baseUrl: string, key: string | null, contract: ApiContract): any {
  return new Api({
    baseUrl,
    customFetch: overheard(contract),
    securityWorker: () => key === null ? {} : { headers: { authorization: `Bearer ${key}` } }
  })
}

/** `fetch`, with everything that it brings held against the document. */
export function overheard (contract: ApiContract): typeof fetch {
  return async (input, init) => {
    const response = await fetch(input, init)
    const headers = Object.fromEntries(response.headers)
    const body = headers['content-type']?.startsWith('text/event-stream') ? '' : await response.clone().text()
    contract.hear({ method: init?.method ?? 'GET', url: String(input), status: response.status, headers, body })
    return response
  }
}

/** What a call came to, whether the client returned or threw it. Its JSON is what the client made of it. */
export async function answerOf (call: Promise<any>): Promise<Answer> {
  const response = await call.catch((thrown: unknown) => {
    if (thrown instanceof Response) return thrown
    throw thrown
  })
  return { statusCode: response.status, headers: Object.fromEntries(response.headers), body: await response.text(), json: () => response.data ?? response.error }
}

const encoded = (...parts: string[]) => parts.map(encodeURIComponent) as [string, string]

/** The registration API through the generated client. */
export function clientCalls (client: any): ModelCalls {
  return {
    register: async (request, headers = {}) => await answerOf(client.models.registerModel(request, { headers })),
    list: async (query) => await answerOf(client.models.listModels(query)),
    versions: async (name, query) => await answerOf(client.models.listVersions(encodeURIComponent(name), query)),
    find: async (name, version) => await answerOf(client.models.getModel(...encoded(name, version))),
    at: async (location) => {
      const [, name, version] = /^\/models\/([^/]+)\/versions\/([^/]+)$/.exec(String(location))!
      return await answerOf(client.models.getModel(name, version))
    }
  }
}

/** A service that listens, and its address. */
export async function listening (app: FastifyInstance): Promise<string> {
  return await app.listen({ port: 0, host: '127.0.0.1' })
}
