/* The sink's half of DNS (dns.c). */
#ifndef DNS_H
#define DNS_H

#include <stddef.h>
#include <stdint.h>

enum { DNS_MOST = 1232 }; /* octets of a query or an answer */

/* Writes the answer to a query; returns its size, 0 where the query deserves none. */
size_t dns_answer(const uint8_t *query, size_t size, const uint8_t address[4], uint8_t answer[DNS_MOST]);

#endif
