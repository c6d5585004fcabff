// The official client of NATS Streaming, for the tests: publishes the lines of its standard input, or prints
// what is in a channel, a line each, in base64.
package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"log"
	"os"
	"strconv"

	"github.com/nats-io/stan.go"
)

func main() {
	if len(os.Args) != 6 {
		log.Fatal("usage: stan_go URL CLUSTER CLIENT CHANNEL publish|COUNT")
	}
	url, cluster, client, channel, what := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	connection, err := stan.Connect(cluster, client, stan.NatsURL(url))
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	if what == "publish" {
		publish(connection, channel)
		return
	}
	count, err := strconv.Atoi(what)
	if err != nil {
		log.Fatal(err)
	}
	read(connection, channel, count)
}

// publish sends each line, and waits until the server has it.
func publish(connection stan.Conn, channel string) {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 0, 1<<20), 1<<23)
	for lines.Scan() {
		if err := connection.Publish(channel, append([]byte(nil), lines.Bytes()...)); err != nil {
			log.Fatal(err)
		}
	}
	if err := lines.Err(); err != nil {
		log.Fatal(err)
	}
}

// read prints the first messages of a channel.
func read(connection stan.Conn, channel string, count int) {
	messages := make(chan *stan.Msg, count)
	receive := func(message *stan.Msg) {
		select {
		case messages <- message:
		default:
		}
	}
	if _, err := connection.Subscribe(channel, receive, stan.DeliverAllAvailable()); err != nil {
		log.Fatal(err)
	}
	for ; count > 0; count-- {
		message := <-messages
		fmt.Println(message.Sequence, base64.StdEncoding.EncodeToString(message.Data))
	}
}
