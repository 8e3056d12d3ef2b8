import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.wire.message.MongoMessage;
import java.util.List;

/**
 * Runs mongo-java-server in memory: Launcher VERSION PORT. Its own main classes announce a protocol
 * that is too old for MongoDB's current drivers, and nothing in its answers tells it from mongod.
 */
public final class Launcher {
    /** MongoDB 5.0, the oldest release whose protocol is new enough. */
    private static final class Announced implements MongoVersion {
        @Override
        public List<Integer> getVersionArray() {
            return List.of(5, 0, 0);
        }

        @Override
        public int getWireVersion() {
            return 13;
        }
    }

    /** Adds its true name and version to the answer to buildInfo. */
    private static final class Backend extends MemoryBackend {
        private final String version;

        Backend(String version) {
            this.version = version;
            version(new Announced());
        }

        @Override
        public Document handleMessage(MongoMessage message) {
            Document answer = super.handleMessage(message);
            if (message.getDocument().containsKey("buildInfo")) {
                answer.put("mongoJavaServerVersion", version);
            }
            return answer;
        }
    }

    private Launcher() {}

    public static void main(String[] args) {
        MongoServer server = new MongoServer(new Backend(args[0]));
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
        server.bind("0.0.0.0", Integer.parseInt(args[1]));
    }
}
