// Command healthcheck asks a URL and fails unless it answers 200: a container without a shell has nothing else to ask by.
package main
