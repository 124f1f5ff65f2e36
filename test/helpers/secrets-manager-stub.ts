import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import type { Teardown } from './redis-server.ts'

/** `hang`: never answers. A name ending in `Exception`: that error of the API. */
export type Behaviour = { secret: string } | { error: string, status?: number } | 'hang'

/** The one call of AWS Secrets Manager that is used, over its own protocol (JSON 1.1); the SDK is led here by its endpoint variable. */
export class SecretsManagerStub {
  readonly requests: { target: string, secretId: string }[] = []
  /** What the next calls get, in order; the last one stays. */
  script: Behaviour[] = [{ secret: '' }]
  url = ''

  answer (): Behaviour {
    return this.script.length > 1 ? this.script.shift()! : this.script[0]!
  }
}

export async function startSecretsManagerStub (t: Teardown): Promise<SecretsManagerStub> {
  const stub = new SecretsManagerStub()
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      const { SecretId } = JSON.parse(body) as { SecretId: string }
      stub.requests.push({ target: String(request.headers['x-amz-target']), secretId: SecretId })
      const behaviour = stub.answer()
      if (behaviour === 'hang') return
      const [status, answer] = 'secret' in behaviour
        ? [200, { ARN: SecretId, Name: SecretId, SecretString: behaviour.secret, VersionId: 'v' }] as const
        : [behaviour.status ?? 400, { __type: behaviour.error, message: `${behaviour.error} from the stub` }] as const
      response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' }).end(JSON.stringify(answer))
    })
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  stub.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return stub
}

/** What the SDK needs of the environment to talk to the stub. */
export function awsEnvironment (endpoint: string): Record<string, string> {
  return {
    AWS_ENDPOINT_URL_SECRETS_MANAGER: endpoint,
    AWS_REGION: 'eu-central-1',
    AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
    AWS_SECRET_ACCESS_KEY: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
    AWS_EC2_METADATA_DISABLED: 'true'
  }
}
