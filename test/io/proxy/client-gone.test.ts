import { afterEach, describe, expect, it } from 'vitest'
import { startGateway, type TestGateway, waitFor } from '../../support/gateway.ts'
import { Origin } from '../../support/origin.ts'
import { RawClient } from '../../support/raw-client.ts'

let gateway: TestGateway
let origin: Origin

afterEach(async () => {
  await gateway.stop()
  await origin.stop()
})

describe('a client that leaves', () => {
  it('before the origin has answered has its audit line all the same, and the origin is let go', async () => {
    origin = await Origin.start(() => {})
    gateway = await startGateway(`destinations: { pin: { cloud.r-project.org: "127.0.0.1:${origin.port}" } }`)
    const client = await RawClient.connect(gateway.port)
    client.send('GET http://cloud.r-project.org/slow HTTP/1.1\r\nHost: cloud.r-project.org\r\n\r\n')
    await waitFor(() => (origin.text.includes('GET /slow') ? true : undefined), 'the request at the origin')
    client.close()
    const events = await gateway.audit()
    expect(events).toHaveLength(1)
    expect(events[0]).toMatchObject({ kind: 'forward', event: 'allow', path: '/slow', bytesDown: 0, endedBy: 'client' })
    expect(await gateway.metric('sallyport_requests_total{listener="proxy",kind="forward",verdict="allow",reason=""}')).toBe(1)
    await waitFor(
      () => (origin.sockets[0]?.readableEnded || origin.sockets[0]?.destroyed ? true : undefined),
      'the end at the origin',
    )
  })
})
