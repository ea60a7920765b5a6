import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type InspectionLab, inspectedRaw, startInspectionLab } from '../../security/inspection-lab.ts'
import { NO_FEATURES } from '../../security/lab.ts'
import { startGateway } from '../../support/gateway.ts'
import { readAnswers } from '../../support/http-answers.ts'
import { RawClient } from '../../support/raw-client.ts'

let on: InspectionLab
let off: InspectionLab
beforeAll(async () => {
  on = await startInspectionLab({ config: 'clients: { files: [ca.pem] }' })
  off = await startInspectionLab()
})
afterAll(() => Promise.all([on.stop(), off.stop()]))

async function ask(port: number, bytes: string, method = 'GET') {
  const client = await RawClient.connect(port)
  client.send(bytes)
  await client.until((text) => text.includes('\r\n\r\n'))
  if (method === 'GET') await client.answer()
  const [answer] = readAnswers(client.text, [method], false)
  client.close()
  return { answer, port: client.localPort }
}
const get = (target: string, method = 'GET', fields = '') =>
  `${method} ${target} HTTP/1.1\r\nHost: gateway.test:3128\r\n${fields}\r\n`

describe('/ca.pem on the proxy listener', () => {
  it('is the CA that clients are to trust, where it is switched on', async () => {
    const { answer, port } = await ask(on.gateway.port, get('/ca.pem'))
    expect(answer).toMatchObject({ status: 200, body: on.ca.pem })
    expect(answer?.fields.get('content-type')).toBe('application/x-pem-file')
    expect(answer?.body).not.toContain('PRIVATE')
    expect(await on.gateway.audit(1, ({ clientPort }) => clientPort === port)).toMatchObject([
      { event: 'allow', kind: 'forward', method: 'GET', path: '/ca.pem' },
    ])
  })

  it('answers HEAD without a body, and keeps the connection', async () => {
    const client = await RawClient.connect(on.gateway.port)
    client.send(get('/ca.pem', 'HEAD'))
    await client.until((text) => text.endsWith('\r\n\r\n'))
    client.send(get('/ca.pem'))
    await client.until((text) => text.includes('END CERTIFICATE'))
    expect(readAnswers(client.text, ['HEAD', 'GET'], false).map(({ status, body }) => [status, body !== ''])).toEqual([
      [200, false],
      [200, true],
    ])
    client.close()
  })

  for (const [name, bytes] of Object.entries({
    'with a query': get('/ca.pem?x'),
    'below it': get('/ca.pem/'),
    'in capitals': get('/CA.pem'),
    'the key': get('/ca.key'),
    'with a path that climbs': get('/x/../ca.pem'),
    'by POST': get('/ca.pem', 'POST', 'Content-Length: 0\r\n'),
    'proxy.pac': get('/proxy.pac'),
    'env.sh': get('/env.sh'),
    'the root': get('/'),
  }))
    it(`is nothing else that is asked of the listener itself: ${name}`, async () => {
      const { answer } = await ask(on.gateway.port, bytes)
      expect([answer?.status, answer?.reasonPhrase]).toEqual([400, 'not_a_proxy_request'])
    })

  it('is off by default', async () => {
    const { answer } = await ask(off.gateway.port, get('/ca.pem'))
    expect([answer?.status, answer?.reasonPhrase]).toEqual([400, 'not_a_proxy_request'])
  })

  it('is judged by the same rules as any other head', async () => {
    const { answer } = await ask(on.gateway.port, 'GET /ca.pem HTTP/1.1\r\n\r\n')
    expect([answer?.status, answer?.reasonPhrase]).toEqual([400, 'malformed_request'])
  })

  it('is not for clients that may not use the gateway', async () => {
    const closed = await startInspectionLab({ config: 'clients: { files: [ca.pem], allow: ["10.0.0.0/8"] }' })
    const { answer } = await ask(closed.gateway.port, get('/ca.pem'))
    expect([answer?.status, answer?.reasonPhrase]).toEqual([403, 'client_not_allowed'])
    await closed.stop()
  })

  it('says how to get one where there is none', async () => {
    const gateway = await startGateway(`features: ${NO_FEATURES}\nclients: { files: [ca.pem] }\n`)
    const { answer } = await ask(gateway.port, get('/ca.pem'))
    expect([answer?.status, answer?.reasonPhrase]).toEqual([403, 'inspection_unavailable'])
    expect(answer?.body).toContain('sallyport ca init')
    await gateway.stop()
  })

  it("is the origin's own inside a tunnel", async () => {
    const client = await inspectedRaw(on, 'always.test')
    client.send('GET /ca.pem HTTP/1.1\r\nHost: always.test\r\n\r\n')
    expect(await client.answer()).toContain('origin saw /ca.pem')
    client.close()
  })
})
