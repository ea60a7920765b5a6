// usgovvirginia (US Gov Virginia) is paired with usgovtexas (US Gov Texas)
// addresses of change 402 of the service tags; they change: `sallyport routes --diff OLD NEW` says what a newer file changes
// IPv6 ranges are left out; `--ipv6` adds them
// only for compute with public IP: say `--compute public-ip` to get the rules of its security group too, or `--compute no-public-ip`

param routeTableName string = 'MyRouteTable'

var inboundRoutes = [
  { name: 'AzureMachineLearning-USGovVirginia-20.140.91.64-28', addressPrefix: '20.140.91.64/28' }
  { name: 'AzureMachineLearning-USGovVirginia-20.140.130.224-28', addressPrefix: '20.140.130.224/28' }
  { name: 'AzureMachineLearning-USGovVirginia-20.159.5.112-28', addressPrefix: '20.159.5.112/28' }
  { name: 'AzureMachineLearning-USGovVirginia-51.55.23.73-32', addressPrefix: '51.55.23.73/32' }
  { name: 'AzureMachineLearning-USGovVirginia-51.55.23.74-31', addressPrefix: '51.55.23.74/31' }
  { name: 'AzureMachineLearning-USGovVirginia-51.55.23.108-30', addressPrefix: '51.55.23.108/30' }
  { name: 'AzureMachineLearning-USGovVirginia-51.55.23.144-28', addressPrefix: '51.55.23.144/28' }
  { name: 'AzureMachineLearning-USGovVirginia-51.55.23.160-27', addressPrefix: '51.55.23.160/27' }
  { name: 'AzureMachineLearning-USGovVirginia-52.127.42.176-28', addressPrefix: '52.127.42.176/28' }
  { name: 'AzureMachineLearning-USGovVirginia-52.127.48.80-28', addressPrefix: '52.127.48.80/28' }
  { name: 'AzureMachineLearning-USGovTexas-20.140.58.64-28', addressPrefix: '20.140.58.64/28' }
  { name: 'AzureMachineLearning-USGovTexas-20.159.104.32-28', addressPrefix: '20.159.104.32/28' }
  { name: 'AzureMachineLearning-USGovTexas-62.11.87.192-27', addressPrefix: '62.11.87.192/27' }
  { name: 'BatchNodeManagement-USGovVirginia-20.140.91.96-27', addressPrefix: '20.140.91.96/27' }
  { name: 'BatchNodeManagement-USGovVirginia-20.140.131.0-27', addressPrefix: '20.140.131.0/27' }
  { name: 'BatchNodeManagement-USGovVirginia-23.97.1.224-31', addressPrefix: '23.97.1.224/31' }
  { name: 'BatchNodeManagement-USGovVirginia-52.127.43.32-27', addressPrefix: '52.127.43.32/27' }
  { name: 'BatchNodeManagement-USGovVirginia-52.127.50.96-27', addressPrefix: '52.127.50.96/27' }
]

resource routeTable 'Microsoft.Network/routeTables@2024-03-01' existing = {
  name: routeTableName
}

@batchSize(1)
resource routes 'Microsoft.Network/routeTables/routes@2024-03-01' = [for route in inboundRoutes: {
  parent: routeTable
  name: route.name
  properties: {
    addressPrefix: route.addressPrefix
    nextHopType: 'Internet'
  }
}]
