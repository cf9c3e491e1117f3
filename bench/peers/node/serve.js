// SPDX-License-Identifier: MIT
'use strict';

// What the servers in Node share.
const net = require('net');

// A guest that has failed is gone, and says no more.
function serve(options, serveGuest) {
  const address = new URL(process.argv[2] ?? 'tcp://127.0.0.1:9999');
  const server = net.createServer({ noDelay: true, ...options }, (guest) => {
    guest.on('error', () => guest.destroy());
    serveGuest(guest);
  });
  server.listen({ host: address.hostname, port: address.port, backlog: 4096 }, () => {
    console.log(`listening on tcp://${address.hostname}:${server.address().port}`);
  });
}

module.exports = { serve };
