import { afterEach, describe, expect, it, vi } from 'vitest'
import { Dialer } from '../../../src/io/proxy/dial.ts'
import { startGateway, type TestGateway } from '../../support/gateway.ts'
import { exchangeRaw } from '../../support/raw-client.ts'

let gateway: TestGateway

afterEach(async () => {
  vi.restoreAllMocks()
  await gateway.stop()
})

const cases = [
  { kind: 'connect', request: 'CONNECT pypi.org:443 HTTP/1.1\r\nHost: pypi.org:443\r\n\r\n' },
  { kind: 'forward', request: 'GET http://pypi.org/ HTTP/1.1\r\nHost: pypi.org\r\nConnection: close\r\n\r\n' },
  {
    kind: 'websocket',
    request: 'GET http://pypi.org/ HTTP/1.1\r\nHost: pypi.org\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
  },
] as const

describe('a fault of the gateway itself', () => {
  for (const { kind, request } of cases) {
    it(`ends one connection, with a line, a count and the id in the process log (${kind})`, async () => {
      for (const method of ['dial', 'locate', 'locateNow'] as const)
        vi.spyOn(Dialer.prototype, method).mockRejectedValue(new Error('a bug'))
      gateway = await startGateway('')
      const answer = await exchangeRaw(gateway.port, request)
      // Who asked for a tunnel may have been told 200 already; a request is answered as long as nothing of its answer is out.
      expect(answer.slice(0, answer.indexOf('\r'))).toBe(kind === 'forward' ? 'HTTP/1.1 500 internal_error' : '')
      const events = await gateway.audit()
      expect(events).toHaveLength(1)
      expect(events[0]).toMatchObject({ event: 'error', kind, host: 'pypi.org', reason: 'internal_error' })
      expect(gateway.log.find(({ msg }) => msg === 'request handler failed')).toMatchObject({ requestId: events[0]?.id })
      const labels = `listener="proxy",kind="${kind}",verdict="error",reason="internal_error"`
      expect(await gateway.metric(`sallyport_requests_total{${labels}}`)).toBe(1)
      expect(await gateway.metric('sallyport_tunnels_open')).toBe(0)
    })
  }
})
