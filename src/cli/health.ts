import { request } from 'node:http'
import { formatListenAddress, type ListenAddress } from '../core/listen-address.ts'
import { type IpAddress, ipv4FromValue, ipv6FromWords } from '../core/names/ip.ts'
import { isUnspecified } from '../core/names/special-purpose.ts'
import { loadMetricsAddress } from '../io/config/load-metrics-address.ts'
import { printable } from '../io/config/located-problem.ts'
import { type CommandIo, EXIT, refuseConfig } from './command-io.ts'
import { chosenConfig } from './shipped-config.ts'

export interface HealthOptions {
  readonly config?: string
}

/** For the whole of connecting and answering: container runtimes give a probe not much more. */
const DEADLINE_MS = 5_000

/** The first line is what is shown; a readiness answer has a few short ones. */
const BODY_CHARACTERS_MAX = 4_096

const LOOPBACK = { 4: ipv4FromValue(0x7f000001), 6: ipv6FromWords([0, 0, 0, 1]) } as const

/** Asks the running gateway whether it is ready, for container health checks: 0 where it is, 1 where not or nobody answers. */
export async function health({ config }: HealthOptions, io: CommandIo): Promise<number> {
  const found = await loadMetricsAddress(chosenConfig(config, io))
  if (!found.ok) return refuseConfig(found.error, io)
  const { port } = found.value
  if (port === 0) {
    io.stderr.write('`listen.metrics` has port 0, so nobody but the gateway knows the real one; give it a port\n')
    return EXIT.failed
  }
  const address: ListenAddress = { address: reachable(found.value.address), port }
  try {
    const { status, firstLine } = await askReadiness(address)
    io.stdout.write(`${printable(firstLine)}\n`)
    return status === 200 ? EXIT.ok : EXIT.failed
  } catch (error) {
    io.stderr.write(`no answer from ${formatListenAddress(address)}: ${cause(error)}\n`)
    return EXIT.failed
  }
}

/** A gateway that listens on every address is asked on loopback. */
function reachable(address: IpAddress): IpAddress {
  return isUnspecified(address) ? LOOPBACK[address.family] : address
}

interface Readiness {
  readonly status: number
  readonly firstLine: string
}

function askReadiness({ address, port }: ListenAddress): Promise<Readiness> {
  return new Promise((resolve, reject) => {
    const options = { host: address.text, port, path: '/readyz', agent: false, signal: AbortSignal.timeout(DEADLINE_MS) }
    const asking = request(options, (answer) => {
      let body = ''
      answer.setEncoding('utf8')
      answer.on('data', (text: string) => {
        body += text
        if (body.length > BODY_CHARACTERS_MAX) answer.destroy()
      })
      answer.on('error', reject)
      answer.on('close', () =>
        resolve({ status: answer.statusCode ?? 0, firstLine: body.slice(0, BODY_CHARACTERS_MAX).split('\n', 1)[0] ?? '' }),
      )
    })
    asking.on('error', reject)
    asking.end()
  })
}

function cause(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error'
  if (error.name === 'AbortError' || error.name === 'TimeoutError') return `nothing within ${DEADLINE_MS / 1000} seconds`
  const code = 'code' in error ? String(error.code) : error.name
  return code === 'ECONNREFUSED' ? 'nothing listens there; is the gateway running, with this config?' : code
}
