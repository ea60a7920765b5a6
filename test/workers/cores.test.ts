import { describe, expect, it } from 'vitest'
import { workerCount } from '../../src/workers/cores.ts'

const CASES: readonly {
  readonly what: string
  readonly cores: number
  readonly files?: Readonly<Record<string, string>>
  readonly count: number
}[] = [
  { what: 'every core where there is no quota', cores: 8, count: 8 },
  { what: 'no more than 64', cores: 192, count: 64 },
  {
    what: "a container's quota (cgroup v2)",
    cores: 8,
    files: { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': '200000 100000\n' },
    count: 2,
  },
  {
    what: 'whole cores of it: a third process would only wait for the two others',
    cores: 8,
    files: { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': '290000 100000\n' },
    count: 2,
  },
  {
    what: 'one where the quota is less than a core',
    cores: 8,
    files: { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': '50000 100000\n' },
    count: 1,
  },
  {
    what: 'every core where the quota says `max`',
    cores: 4,
    files: { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': 'max 100000\n' },
    count: 4,
  },
  {
    what: 'the cores where the quota is wider',
    cores: 2,
    files: { '/proc/self/cgroup': '0::/\n', '/sys/fs/cgroup/cpu.max': '400000 100000\n' },
    count: 2,
  },
  {
    what: 'the tightest quota on the way to the root (a systemd slice)',
    cores: 8,
    files: {
      '/proc/self/cgroup': '0::/system.slice/sallyport.service\n',
      '/sys/fs/cgroup/system.slice/cpu.max': '300000 100000\n',
      '/sys/fs/cgroup/system.slice/sallyport.service/cpu.max': 'max 100000\n',
    },
    count: 3,
  },
  {
    what: "a container's quota (cgroup v1)",
    cores: 8,
    files: {
      '/proc/self/cgroup': '12:memory:/\n4:cpu,cpuacct:/\n',
      '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '400000\n',
      '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000\n',
    },
    count: 4,
  },
  {
    what: 'every core where cgroup v1 says -1',
    cores: 8,
    files: {
      '/proc/self/cgroup': '4:cpu,cpuacct:/docker/0123\n',
      '/sys/fs/cgroup/cpu,cpuacct/docker/0123/cpu.cfs_quota_us': '-1\n',
      '/sys/fs/cgroup/cpu,cpuacct/docker/0123/cpu.cfs_period_us': '100000\n',
    },
    count: 8,
  },
  { what: 'every core where the files make no sense', cores: 3, files: { '/proc/self/cgroup': 'x\n\n0::\n' }, count: 3 },
]

describe('workers: auto', () => {
  for (const { what, cores, files = {}, count } of CASES)
    it(`is ${count}: ${what}`, () => expect(workerCount('auto', { cores, read: (file) => files[file] })).toBe(count))

  it('is not asked where a number is given', () => {
    const facts = { cores: 1, read: () => '100000 100000' }
    expect(workerCount(3, facts)).toBe(3)
  })
})
