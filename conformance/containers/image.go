package containers

import (
	"context"
	_ "embed" // for the list of images
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/moby/moby/client"
)

// pullLimit bounds a pull, because a network that drops packets must not block a test run.
const pullLimit = 2 * time.Minute

//go:embed images/images.txt
var imageList string

// officialImage returns the image that the list pins for a server, or "".
func officialImage(list, server string) string {
	for line := range strings.Lines(list) {
		fields := strings.Fields(line)
		if len(fields) == 2 && fields[0] == server {
			return fields[1]
		}
	}
	return ""
}

// imageStore is the part of an engine that chooseImage needs.
type imageStore interface {
	hasImage(ctx context.Context, image string) bool
	packedImage(ctx context.Context, repository string) string // "" if there is none
	pullImage(ctx context.Context, image string) error
}

// chooseImage returns an image that the engine has, pulled if necessary. It
// uses a packed image before it pulls: a packed image exists because the
// official one could not be pulled.
func (s *spec) chooseImage(ctx context.Context, images imageStore) (string, error) {
	asked := os.Getenv(s.variable("IMAGE"))
	image := asked
	if asked == "" {
		image = officialImage(imageList, s.server)
	}
	if images.hasImage(ctx, image) {
		return image, nil
	}
	if asked == "" {
		if packed := images.packedImage(ctx, repository(image)); packed != "" {
			return packed, nil
		}
	}
	if err := images.pullImage(ctx, image); err != nil {
		return "", &absentError{missing: fmt.Sprintf("the engine lacks the image %s and cannot pull it", image), cause: err}
	}
	return image, nil
}

// repository returns the image's name without tag and digest.
func repository(image string) string {
	image, _, _ = strings.Cut(image, "@")
	if colon := strings.LastIndexByte(image, ':'); colon > strings.LastIndexByte(image, '/') {
		return image[:colon]
	}
	return image
}

func (e *engine) hasImage(ctx context.Context, image string) bool {
	_, err := e.client.ImageInspect(ctx, image)
	return err == nil
}

func (e *engine) packedImage(ctx context.Context, repository string) string {
	listed, err := e.client.ImageList(ctx, client.ImageListOptions{
		Filters: client.Filters{}.Add("reference", repository+":*-packed"),
	})
	if err != nil {
		return ""
	}
	var newest string
	var created int64
	for _, image := range listed.Items {
		for _, tag := range image.RepoTags {
			if strings.HasSuffix(tag, "-packed") && (newest == "" || image.Created > created) {
				newest, created = tag, image.Created
			}
		}
	}
	// Podman writes names in full.
	return strings.TrimPrefix(strings.TrimPrefix(newest, "docker.io/"), "library/")
}

func (e *engine) pullImage(ctx context.Context, image string) error {
	ctx, cancel := context.WithTimeout(ctx, pullLimit)
	defer cancel()
	pulled, err := e.client.ImagePull(ctx, image, client.ImagePullOptions{})
	if err != nil {
		return err
	}
	defer func() { _ = pulled.Close() }()
	return pulled.Wait(ctx)
}
