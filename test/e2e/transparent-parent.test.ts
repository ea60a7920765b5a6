import { afterAll, beforeAll, expect, it } from 'vitest'
import { waitFor } from '../support/gateway.ts'
import { NAMESPACE_PROGRAMS } from '../support/namespace.ts'
import { describeWith } from '../support/program.ts'
import type { ProgramUnderTest } from '../support/program-under-test.ts'
import { LAB, SubnetLab } from '../support/subnet-lab.ts'

const ORIGIN = '20.60.0.10'
/** Where clients believe the origin to be: nobody serves there, and only the parent knows better. */
const BELIEVED = '20.60.0.66'
const PARENT = '20.60.0.30'

describeWith([...NAMESPACE_PROGRAMS, 'curl'], () => {
  let lab: SubnetLab
  let gateway: ProgramUnderTest

  beforeAll(async () => {
    const names = ['origin.test']
    lab = await SubnetLab.start({
      services: [
        { kind: 'https', address: ORIGIN, port: 443, names },
        { kind: 'http', address: ORIGIN, port: 80 },
        { kind: 'https', address: BELIEVED, port: 443, names },
        { kind: 'proxy', address: PARENT, port: 3128, to: ORIGIN },
      ],
      names: { 'origin.test': [BELIEVED] },
    })
    await lab.redirect()
    gateway = await lab.serve(`
listen: { transparent: { tls: "[::]:${LAB.ports.tls}", http: "[::]:${LAB.ports.http}" } }
clients: { allow: ["${LAB.client.four}"] }
dns: { servers: ["${LAB.internet.four}"] }
reload: { watch: false }
rules: [{ name: origin, hosts: [origin.test] }]
upstream: [{ proxy: "http://${PARENT}:3128" }]
`)
  })
  afterAll(() => lab?.stop())

  for (const [scheme, port] of [
    ['https', 443],
    ['http', 80],
  ] as const)
    it(`a client that knows of no proxy reaches an allowed host through the parent (${scheme})`, async () => {
      const { stdout } = await lab.curl(`${scheme}://origin.test/x`)
      expect(stdout).toBe(`${scheme} ${ORIGIN}:${port} origin.test /x\n`)
      expect(lab.connectionsTo(`${BELIEVED}:${port}`)).toBe(0)
      const line = await waitFor(() => gateway.events().find((event) => event.port === port), 'its line')
      expect(line).toMatchObject({
        event: 'allow',
        host: 'origin.test',
        original: `${BELIEVED}:${port}`,
        parentProxy: `http://${PARENT}:3128`,
        address: `${PARENT}:3128`,
      })
      // Where the name leads is the parent's to say.
      expect(lab.arrivals.filter(({ what }) => what === 'lookup')).toEqual([])
    })

  it('one that is not listed is refused here, and the parent hears nothing of it', async () => {
    const before = lab.connectionsTo(`${PARENT}:3128`)
    const { code } = await lab.curl('--resolve', `evil.test:443:${BELIEVED}`, 'https://evil.test/')
    expect(code).not.toBe(0)
    await waitFor(() => gateway.events().find(({ reason }) => reason === 'host_not_listed'), 'the refusal')
    expect(lab.connectionsTo(`${PARENT}:3128`)).toBe(before)
  })
})
