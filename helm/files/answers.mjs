// What `helm test` runs, in the gateway's own image: is it ready, and does it refuse what nobody listed?
import { request } from 'node:http'

const { SALLYPORT_PROXY: proxy, SALLYPORT_METRICS: metrics } = process.env
const DEADLINE_MS = 10_000

function ask(url, options) {
  return new Promise((resolve, reject) => {
    const asking = request(url, { ...options, agent: false, signal: AbortSignal.timeout(DEADLINE_MS) })
    const settle = (answer) => {
      resolve({ status: answer.statusCode, reason: answer.headers['sallyport-reason'] })
      asking.destroy()
    }
    asking.on('response', settle).on('connect', settle).on('error', reject).end()
  })
}

if (metrics !== undefined) {
  const { status } = await ask(`${metrics}/readyz`)
  if (status !== 200) throw new Error(`/readyz answered ${status}`)
  console.log('ready')
}

// A name that can never be registered (RFC 2606), so the answer must be a refusal; this pod need not be in `clients.allow`.
const { status, reason } = await ask(proxy, {
  method: 'CONNECT',
  path: 'not-listed.invalid:443',
  headers: { host: 'not-listed.invalid:443' },
})
const reportMode = reason === undefined && status === 502
if (!(status === 403 && ['host_not_listed', 'client_not_allowed'].includes(reason)) && reason !== 'dns_failed' && !reportMode) {
  throw new Error(`CONNECT to a host that nobody listed answered ${status} ${reason}`)
}
console.log(`refused with ${status} ${reason}`)
