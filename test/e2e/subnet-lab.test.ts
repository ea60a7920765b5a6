import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { NAMESPACE_PROGRAMS } from '../support/namespace.ts'
import { describeWith } from '../support/program.ts'
import { LAB, SubnetLab } from '../support/subnet-lab.ts'

/** The network that other tests stand on does what they count on. */
describeWith([...NAMESPACE_PROGRAMS, 'curl', 'python3', 'openssl'], () => {
  describe('the network of a subnet, a gateway and an internet', () => {
    let lab: SubnetLab

    beforeAll(async () => {
      lab = await SubnetLab.start({
        services: [
          { kind: 'https', address: '20.60.0.10', port: 443, names: ['origin.test'] },
          { kind: 'http', address: '2603:1030::10', port: 80 },
          { kind: 'udp', address: '20.60.0.10', port: 123 },
        ],
        names: { 'origin.test': ['20.60.0.10'], 'six.test': ['2603:1030::10'] },
      })
    })
    afterAll(() => lab?.stop())

    it('leads clients to the internet through the gateway, in both families, while no rule forbids it', async () => {
      const { stdout } = await lab.curl('https://origin.test/a', 'http://six.test/b')
      expect(stdout).toBe('https 20.60.0.10:443 origin.test /a\nhttp 2603:1030::10:80 six.test /b\n')
      expect(lab.arrivals).toContainEqual({ what: 'connection', to: '20.60.0.10:443', from: LAB.client.four })
    })

    it('lets no client out once TCP is redirected to where nobody listens', async () => {
      await lab.redirect()
      for (const url of ['https://origin.test/', 'http://six.test/']) {
        const { code } = await lab.curl(url)
        expect(code, url).toBe(7)
      }
    })

    it('has no way to the machine that it runs on', async () => {
      const { stdout } = await lab.subnet.run('ip', ['-brief', 'link'])
      expect(
        stdout
          .split('\n')
          .map((line) => line.split(/[@ ]/)[0])
          .filter((name) => name !== ''),
      ).toEqual(['lo', 'eth0'])
    })
  })
})
