import { afterAll, beforeAll, expect, it } from 'vitest'
import { CrewUnderTest } from '../support/crew-under-test.ts'
import { Origin } from '../support/origin.ts'
import { ParentProxy } from '../support/parent-proxy.ts'

let origin: Origin
let parent: ParentProxy
let crew: CrewUnderTest
const at = () => `http://127.0.0.1:${parent.port}`

beforeAll(async () => {
  origin = await Origin.start()
  parent = await ParentProxy.start((head) =>
    head.includes('no.test') ? { says: 'HTTP/1.1 403 no\r\n\r\n' } : { to: origin.port },
  )
  crew = await CrewUnderTest.start(`rules: [{ name: echo, hosts: [echo.test, no.test], ports: [7], protocol: any }]
upstream: [{ proxy: ["${at()}"] }]
`)
})

afterAll(async () => {
  await crew?.stop()
  await parent?.stop()
  await origin?.stop()
})

it('every worker goes through the parent, and one page of metrics tells of all its dials', async () => {
  const tunnels = await crew.tunnelsOnEach('echo.test:7', 2)
  for (const [n, tunnel] of tunnels.entries()) {
    tunnel.send(`ping ${n}`)
    await tunnel.until((text) => text.endsWith(`ping ${n}`))
    tunnel.close()
  }
  const lines = await crew.program.audit({ kind: 'connect', event: 'allow' }, tunnels.length)
  for (const line of lines) expect(line).toMatchObject({ host: 'echo.test', parentProxy: at(), address: at().slice(7) })
  const dials = `sallyport_parent_dials_total{proxy="${at()}",outcome="connected"}`
  expect(await crew.program.metric(dials)).toBe(tunnels.length)
  expect(parent.heads).toHaveLength(tunnels.length)
  expect((await crew.status())['parents']).toEqual([{ proxy: at(), state: 'up' }])
})

it('what the parent refuses, it refuses to each of them, and is not called down for it', async () => {
  for (let n = 0; n < 6; n++) await expect(crew.tunnel('no.test:7')).rejects.toThrow(/502 dial_failed/)
  const lines = await crew.program.audit({ host: 'no.test' }, 6)
  for (const { detail } of lines) expect(detail).toBe(`${at()} answered 403 to CONNECT`)
  expect(await crew.program.metric(`sallyport_parent_up{proxy="${at()}"}`)).toBe(1)
})

it('a reload takes the parent away from every worker', async () => {
  const report = await crew.reload(`rules: [{ name: echo, hosts: [echo.test], ports: [7], protocol: any }]
destinations: { pin: { echo.test: "127.0.0.1:${origin.port}" } }
`)
  expect(report).toMatchObject({ status: 200, body: { outcome: 'loaded' } })
  const before = parent.heads.length
  await crew.tunnelsOnEach('echo.test:7', 1)
  expect(parent.heads).toHaveLength(before)
})
