package registry;

import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.SpringApplication;
import org.springframework.cloud.netflix.eureka.server.EnableEurekaServer;

/** A Eureka server as Spring Cloud has it; see server.properties. */
@EnableAutoConfiguration
@EnableEurekaServer
public class Server {
    public static void main(String[] args) {
        Parent.watch();
        System.setProperty("spring.config.name", "server");
        SpringApplication.run(Server.class, args);
    }
}
