//go:build second

package containers_test

import (
	"testing"

	"github.com/sojourn-go/sojourn/conformance/containers"
)

func TestMongoDBSecond(t *testing.T) {
	server := containers.MongoDBSecond(t)
	checkIdentity(t, server, "MongoDB stand-in mongo-java-server")
	checkMongoDB(t, server)
}

func TestS3Second(t *testing.T) {
	checkIdentity(t, containers.S3Second(t), "VERSITYGW")
}

func TestRedisSecond(t *testing.T)  { checkIdentity(t, containers.RedisSecond(t), "Redis") }
func TestValkeySecond(t *testing.T) { checkIdentity(t, containers.ValkeySecond(t), "Valkey") }
