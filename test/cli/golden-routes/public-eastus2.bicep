// eastus2 (East US 2) is paired with centralus (Central US)
// newer files list `BatchNodeManagement` for routes and no longer its regional tags: if Azure refuses the one with a region, `--without-region` prints it without
// this traffic passes the gateway by, in both directions: what nodes send to these addresses themselves is neither judged nor logged there
// the inbound rules belong to the security group of the compute subnet

param routeTableName string = 'MyRouteTable'

var inboundRoutes = [
  { name: 'AzureMLRoute', addressPrefix: 'AzureMachineLearning' }
  { name: 'BatchRoute', addressPrefix: 'BatchNodeManagement.eastus2' }
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

param securityGroupName string = 'MyNetworkSecurityGroup'

var inboundRules = [
  { name: 'AzureMLInbound', priority: 200, source: 'AzureMachineLearning', ports: '44224' }
  { name: 'BatchInbound', priority: 210, source: 'BatchNodeManagement.eastus2', ports: '29876-29877' }
]

resource securityGroup 'Microsoft.Network/networkSecurityGroups@2024-03-01' existing = {
  name: securityGroupName
}

@batchSize(1)
resource rules 'Microsoft.Network/networkSecurityGroups/securityRules@2024-03-01' = [for rule in inboundRules: {
  parent: securityGroup
  name: rule.name
  properties: {
    priority: rule.priority
    direction: 'Inbound'
    access: 'Allow'
    protocol: 'Tcp'
    sourceAddressPrefix: rule.source
    sourcePortRange: '*'
    destinationAddressPrefix: 'VirtualNetwork'
    destinationPortRange: rule.ports
  }
}]
